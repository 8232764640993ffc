"""A broker with rules of its own: a proxy that reads what passes to a real one.

It stands at the address that the broker advertises. It answers itself what a managed
cluster refuses, and takes out of answers what such a cluster hides.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from tests.broker import LocalBroker

if TYPE_CHECKING:
    from types import TracebackType

_admin = import_module("aiokafka.protocol.admin")  # by name: it has no type hints
_types = import_module("aiokafka.protocol.types")

CREATE_TOPICS, DESCRIBE_CONFIGS, ALTER_SETTINGS = 19, 32, 44
POLICY_VIOLATION = 44
NOT_ALLOWED = 29


class ManagedBroker:
    """A real broker behind a proxy; a context manager.

    Attributes:
        refused: Settings with which no topic is made, and which nobody may set.
        hidden: Settings that are not shown.
        hides_all: Whether nobody may read any setting.
        bootstrap: The address for clients.
    """

    def __init__(self, *, brokers_say: str = "not allowed in this cluster") -> None:
        self.refused: set[str] = set()
        self.hidden: set[str] = set()
        self.hides_all = False
        self.bootstrap = ""
        self._words = brokers_say
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._broker: LocalBroker | None = None
        self._target = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        port = started.result()
        self.bootstrap = f"127.0.0.1:{port}"
        broker = LocalBroker(
            settings={
                "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
                "unclean.leader.election.enable": "false",
            }
        )
        host, _, own_port = broker.bootstrap.partition(":")
        self._target = (host, int(own_port))
        try:
            self._broker = broker.__enter__()
        except BaseException:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._broker is not None:
            self._broker.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            target, back = await asyncio.open_connection(*self._target)
            order: asyncio.Queue[tuple[int, int, bytes | None]] = asyncio.Queue()
            answers = asyncio.create_task(self._answer(target, writer, order))
            try:
                while True:
                    request = await _frame(reader)
                    key, version = struct.unpack(">hh", request[:4])
                    answer = self._refusal(key, version, request)
                    order.put_nowait((key, version, answer))
                    if answer is None:
                        back.write(struct.pack(">i", len(request)) + request)
            finally:
                answers.cancel()
                back.close()
                writer.close()

    async def _answer(
        self,
        target: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        order: asyncio.Queue[tuple[int, int, bytes | None]],
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                key, version, answer = await order.get()
                if answer is None:
                    answer = await _frame(target)
                    if key == DESCRIBE_CONFIGS:
                        answer = self._without_hidden(version, answer)
                writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()

    def _refusal(self, key: int, version: int, request: bytes) -> bytes | None:
        """The answer of a broker that refuses; None where it does not."""
        if key not in (CREATE_TOPICS, ALTER_SETTINGS):
            return None
        # Behind the header: key, version, number, and the name of the client.
        number = request[4:8]
        size = struct.unpack(">h", request[8:10])[0]
        body = io.BytesIO(request[10 + max(size, 0) :])
        if key == ALTER_SETTINGS:
            (count,) = struct.unpack(">i", body.read(4))
            assert count == 1
            body.read(1)
            name = _types.String("utf-8").decode(body)
            (settings,) = struct.unpack(">i", body.read(4))
            keys = set[str]()
            for _ in range(settings):
                keys.add(_types.String("utf-8").decode(body))
                body.read(1)
                _types.String("utf-8").decode(body)
            if not keys & self.refused:
                return None
            row = struct.pack(">ih", 1, POLICY_VIOLATION) + _text(self._words)
            return number + b"\0\0\0\0" + row + b"\2" + _text(name)
        schema = getattr(_admin, f"CreateTopicsRequest_v{version}").SCHEMA
        topics = schema.decode(body)[0]
        if not any(k in self.refused for topic in topics for k, _ in topic[4]):
            return None
        answers: list[Any] = [(t[0], POLICY_VIOLATION, self._words) for t in topics]
        response = getattr(_admin, f"CreateTopicsResponse_v{version}")
        fields: list[Any] = [0, answers] if version > 1 else [answers]
        return number + bytes(response.SCHEMA.encode(fields))

    def _without_hidden(self, version: int, answer: bytes) -> bytes:
        response = getattr(_admin, f"DescribeConfigsResponse_v{version}")
        throttle, resources = response.SCHEMA.decode(io.BytesIO(answer[4:]))
        shown: list[Any] = [
            (NOT_ALLOWED, "no", kind, name, [])
            if self.hides_all
            else (code, text, kind, name, [e for e in rows if e[0] not in self.hidden])
            for code, text, kind, name, rows in resources
        ]
        return answer[:4] + bytes(response.SCHEMA.encode([throttle, shown]))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)

"""A connection to one broker: requests out, answers back, as few calls as it takes.

Theory of operation. aiokafka opens the connection: TLS, SASL and the versions are its
work. From then on this protocol reads in its place. aiokafka reads by a task and a
stream, waits for each answer by a task with a timer, and encodes field by field. Here
an answer is handed over in the call in which its last byte was read, and one timer
watches all requests of a connection.

A broker answers the requests of one connection in order. One that does not answer
within the limit may still do it later, so the connection is closed: that ends each of
its requests.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aiokafka.conn import create_conn
from aiokafka.errors import (
    CorrelationIdError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
)

from sayiir_es.log.kafka.access import authentication_refusal, connection_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The errors of a connection, or of the wait for its answer.
TRANSPORT_ERRORS = (KafkaError, OSError, TimeoutError)

BUFFER_BYTES = 16 * 1024
"""What a connection keeps to read into; a larger answer has a buffer for itself."""

_SIZE = struct.Struct(">i")
_NUMBER = struct.Struct(">i")
# The size, then what Kafka calls the request header, up to the client's name.
_HEADER = struct.Struct(">ihhih")
_NUMBER_LIMIT = 2**31

OnAnswer: TypeAlias = Callable[["memoryview | Exception"], None]
"""Called once for a request: with its answer, or with why there is none.

The answer begins behind its size. It is only to be read while the call lasts.
"""


class RequestKind(NamedTuple):
    """Which request it is, in which version of its bytes."""

    key: int
    version: int


class _Request(NamedTuple):
    number: int
    deadline_s: float
    on_answer: OnAnswer


async def connect(broker: Any, options: Mapping[str, Any]) -> BrokerConnection:
    """A new connection to a broker.

    Raises:
        AccessRefusedError: it does not let this client in.
        one of `TRANSPORT_ERRORS`: it cannot be reached.
    """
    own = connection_options(options)
    try:
        opened = await create_conn(broker.host, broker.port, **own)
    except TRANSPORT_ERRORS as error:
        refusal = authentication_refusal(error, f"{broker.host}:{broker.port}")
        if refusal is None:
            raise
        raise refusal from error
    return BrokerConnection(opened)


class BrokerConnection(asyncio.BufferedProtocol):
    """A connection to one broker."""

    def __init__(self, opened: Any) -> None:
        """Go on with a connection that aiokafka has just opened.

        Raises:
            one of `TRANSPORT_ERRORS`: it is closed already.
        """
        if not opened.connected():
            raise KafkaConnectionError(f"{opened.host}:{opened.port} has closed")
        self._opened = opened  # its end closes the connection, so it is kept
        # aiokafka names neither of them in public.
        self._transport: asyncio.Transport = opened._writer.transport  # noqa: SLF001
        self._versions: dict[int, tuple[int, int]] = opened._versions  # noqa: SLF001
        client: str = opened._client_id  # noqa: SLF001
        self._client = client.encode()
        self._limit_s: float = opened._request_timeout  # noqa: SLF001
        self._loop = asyncio.get_running_loop()
        self._last_number = 0
        self._requests: deque[_Request] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = True
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._filled = 0
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether the broker has not closed it, as far as is known."""
        return self._is_open

    def request(
        self, kind: RequestKind, body: Iterable[bytes], on_answer: OnAnswer
    ) -> None:
        """Send a request, whose bytes are joined.

        Raises:
            one of `TRANSPORT_ERRORS`: nothing was sent.
        """
        low, high = self._versions.get(kind.key, (0, -1))
        if not low <= kind.version <= high:
            raise IncompatibleBrokerVersion(f"{kind}, but {low} to {high}")
        number = self._next_number()
        sent = self._client + b"".join(body)
        header = _HEADER.pack(
            _HEADER.size - _SIZE.size + len(sent), *kind, number, len(self._client)
        )
        self._send(header + sent, number, on_answer)

    async def send(self, request: Any) -> Any:
        """Send one of aiokafka's requests and return its answer.

        Raises:
            one of `TRANSPORT_ERRORS`: make another connection, then try again.
        """
        prepared = request.prepare(self._versions)
        number = self._next_number()
        header = prepared.build_request_header(
            correlation_id=number, client_id=self._client.decode()
        )
        sent = header.encode() + prepared.encode()
        answered: asyncio.Future[BytesIO] = self._loop.create_future()

        def take(answer: memoryview | Exception) -> None:
            if answered.done():
                return
            if isinstance(answer, Exception):
                answered.set_exception(answer)
            else:
                answered.set_result(BytesIO(answer))

        self._send(_SIZE.pack(len(sent)) + sent, number, take)
        answer = await answered
        prepared.parse_response_header(answer)
        return prepared.RESPONSE_TYPE.decode(answer)

    def close(self) -> None:
        """Close it; what was sent may still arrive."""
        self._end(KafkaConnectionError("expected an open connection, but it ends"))

    # --- what the transport calls -----------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's)
        """Where the next bytes go."""
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Hand over each answer that is whole by now."""
        self._filled += nbytes
        begin = 0
        while self._filled - begin >= _SIZE.size:
            (size,) = _SIZE.unpack_from(self._buffer, begin)
            end = begin + _SIZE.size + size
            if end > self._filled:
                self._make_room(begin, end - begin)
                return
            self._take(self._buffer[begin + _SIZE.size : end])
            begin = end
        self._make_room(begin, BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing that is under way is answered any more."""
        lost = KafkaConnectionError(f"expected an answer, but {exc or 'it was closed'}")
        lost.__cause__ = exc
        self._end(lost)

    # --- its parts --------------------------------------------------------------------

    def _next_number(self) -> int:
        self._last_number = (self._last_number + 1) % _NUMBER_LIMIT
        return self._last_number

    def _send(self, data: bytes, number: int, on_answer: OnAnswer) -> None:
        if not self._is_open:
            raise KafkaConnectionError("expected an open connection, but it is closed")
        self._transport.write(data)
        deadline_s = self._loop.time() + self._limit_s
        self._requests.append(_Request(number, deadline_s, on_answer))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._expire)

    def _expire(self) -> None:
        """Close it if its oldest request waits for too long."""
        self._timer = None
        if not self._requests:
            return
        deadline_s = self._requests[0].deadline_s
        if deadline_s > self._loop.time():
            self._timer = self._loop.call_at(deadline_s, self._expire)
            return
        self._end(RequestTimedOutError(f"no answer in {self._limit_s:g} s"))

    def _take(self, answer: memoryview) -> None:
        if not self._requests:
            return
        request = self._requests[0]
        (number,) = _NUMBER.unpack_from(answer)
        if number != request.number:
            self._end(CorrelationIdError(f"{number}, but {request.number} was sent"))
            return
        # It stays the first one until it has its answer: if that cannot be read, the
        # connection is lost, which tells it so.
        request.on_answer(answer)
        if self._requests and self._requests[0] is request:
            self._requests.popleft()

    def _make_room(self, begin: int, size: int) -> None:
        """Let what is left of the buffer begin it, and an answer of that size fit."""
        left = self._filled - begin
        wanted = max(size, BUFFER_BYTES)
        if wanted != len(self._buffer):
            buffer = memoryview(bytearray(wanted))
            buffer[:left] = self._buffer[begin : self._filled]
            self._buffer = buffer
        elif left and begin:
            self._buffer[:left] = self._buffer[begin : self._filled]
        self._filled = left

    def _end(self, error: KafkaError) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        requests, self._requests = self._requests, deque()
        self._opened.close()
        for request in requests:
            request.on_answer(error)

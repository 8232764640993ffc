"""A connection hands over whole answers, and ends what is not answered."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka.errors import (
    CorrelationIdError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    RequestTimedOutError,
)

from sayiir_es.log.kafka.broker_connection import (
    BUFFER_BYTES,
    BrokerConnection,
    RequestKind,
    connect,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

KIND = RequestKind(0, 7)
VERSIONS = 18
LIMIT_S = 10.0


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int


class Broker:
    """Sends the bytes that a test tells it to send."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[bytes] = asyncio.Queue()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Keep each request of a connection; answer which versions it speaks."""
        self.writer = writer
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                if struct.unpack(">h", request[:2])[0] == VERSIONS:
                    body = struct.pack(">hihhh", 0, 1, *KIND, KIND.version)
                    self.write(frame(number_of(request), body))
                else:
                    self.requests.put_nowait(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        assert self.writer is not None
        self.writer.write(data)


def number_of(request: bytes) -> int:
    return int(struct.unpack(">i", request[4:8])[0])


def frame(number: int, body: bytes) -> bytes:
    return struct.pack(">ii", len(body) + 4, number) + body


class Answers:
    """What a connection handed over."""

    def __init__(self) -> None:
        self.all: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def take(self, answer: memoryview | Exception) -> None:
        """Keep what follows the number of the request."""
        whole = answer if isinstance(answer, Exception) else bytes(answer[4:])
        self.all.put_nowait(whole)

    async def next(self) -> bytes | Exception:
        """The next one."""
        async with asyncio.timeout(LIMIT_S):
            return await self.all.get()


@asynccontextmanager
async def connected(
    **options: Any,
) -> AsyncGenerator[tuple[Broker, BrokerConnection]]:
    broker = Broker()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(
            Address("127.0.0.1", port), {"client_id": "c", **options}
        )
        try:
            yield broker, connection
        finally:
            connection.close()


async def test_a_request_has_kafkas_header() -> None:
    async with connected() as (broker, connection):
        answers = Answers()
        connection.request(KIND, [b"bo", b"dy"], answers.take)
        request = await broker.requests.get()
        head = struct.pack(">hhih", *KIND, number_of(request), 1)
        assert request == head + b"cbody"
        broker.write(frame(number_of(request), b"answer"))
        assert await answers.next() == b"answer"


@pytest.mark.parametrize("size", [0, 5, BUFFER_BYTES, 5 * BUFFER_BYTES])
async def test_answers_arrive_in_whatever_pieces(size: int) -> None:
    async with connected() as (broker, connection):
        answers = Answers()
        bodies = [bytes([n]) * size for n in range(3)]
        sent = b""
        for _ in bodies:
            connection.request(KIND, [], answers.take)
        for body in bodies:
            sent += frame(number_of(await broker.requests.get()), body)
        for at in range(0, len(sent), 7919):  # in no step with the frames
            broker.write(sent[at : at + 7919])
            await asyncio.sleep(0)
        assert [await answers.next() for _ in bodies] == bodies


async def test_answers_arrive_byte_by_byte() -> None:
    async with connected() as (broker, connection):
        answers = Answers()
        connection.request(KIND, [], answers.take)
        assert broker.writer is not None
        for byte in frame(number_of(await broker.requests.get()), b"answer"):
            broker.write(bytes([byte]))
            await broker.writer.drain()
            await asyncio.sleep(0.001)  # so that each is a read of its own, mostly
        assert await answers.next() == b"answer"


async def test_one_request_may_follow_from_the_answer_of_another() -> None:
    async with connected() as (broker, connection):
        answers = Answers()

        def go_on(answer: memoryview | Exception) -> None:
            answers.take(answer)
            connection.request(KIND, [b"second"], answers.take)

        connection.request(KIND, [b"first"], go_on)
        for body in (b"first", b"second"):
            request = await broker.requests.get()
            assert request.endswith(body)
            broker.write(frame(number_of(request), body))
            assert await answers.next() == body


async def test_an_answer_to_something_else_ends_the_connection() -> None:
    async with connected() as (broker, connection):
        answers = Answers()
        connection.request(KIND, [], answers.take)
        connection.request(KIND, [], answers.take)
        broker.write(frame(number_of(await broker.requests.get()) + 1, b""))
        for _ in range(2):
            assert isinstance(await answers.next(), CorrelationIdError)
        assert not connection.is_open
        with pytest.raises(KafkaConnectionError):
            connection.request(KIND, [], answers.take)


async def test_a_broker_that_does_not_answer_ends_the_connection() -> None:
    async with connected(request_timeout_ms=200) as (broker, connection):
        answers = Answers()
        connection.request(KIND, [], answers.take)
        broker.write(frame(number_of(await broker.requests.get()), b"in time"))
        assert await answers.next() == b"in time"
        connection.request(KIND, [], answers.take)
        assert isinstance(await answers.next(), RequestTimedOutError)
        assert not connection.is_open


async def test_a_broker_that_goes_away_ends_what_is_under_way() -> None:
    async with connected() as (broker, connection):
        answers = Answers()
        connection.request(KIND, [], answers.take)
        await broker.requests.get()
        assert broker.writer is not None
        broker.writer.close()
        assert isinstance(await answers.next(), KafkaConnectionError)
        assert not connection.is_open


async def test_who_closes_ends_what_is_under_way() -> None:
    async with connected() as (_, connection):
        answers = Answers()
        connection.request(KIND, [], answers.take)
        connection.close()
        assert isinstance(await answers.next(), KafkaConnectionError)
        assert answers.all.empty()


async def test_an_answer_that_cannot_be_read_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected() as (broker, connection):
        answers = Answers()

        def read(answer: memoryview | Exception) -> None:
            if isinstance(answer, Exception):
                answers.take(answer)
            else:
                struct.unpack_from(">q", answer, 4)

        connection.request(KIND, [], read)
        broker.write(frame(number_of(await broker.requests.get()), b"cut"))
        assert isinstance(await answers.next(), KafkaConnectionError)
        assert not connection.is_open
    assert "buffer_updated" in caplog.text


async def test_a_version_that_the_broker_does_not_speak_is_not_sent() -> None:
    async with connected() as (broker, connection):
        with pytest.raises(IncompatibleBrokerVersion):
            connection.request(RequestKind(0, 8), [], Answers().take)
        assert broker.requests.empty()
        assert connection.is_open

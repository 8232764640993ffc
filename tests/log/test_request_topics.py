"""The conformance suite of the topics of requests and replies."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.log.log_process import LogProcess, RemoteTopics, packed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from sayiir_es.log.port import Log, RequestTopics, Subscription

LIMIT_S = 20.0


class Pair(NamedTuple):
    """The topics as two users of one log have them."""

    one: RequestTopics
    other: RequestTopics


@asynccontextmanager
async def opened(*logs: Log) -> AsyncGenerator[Pair]:
    async with AsyncExitStack() as stack:
        for log in logs:
            await log.open(create=True)
            stack.push_async_callback(log.close)
            assert await log.request_topics.open(create=True)
        yield Pair(logs[0].request_topics, logs[-1].request_topics)


@asynccontextmanager
async def between_processes(path: Path, owner: str) -> AsyncGenerator[Pair]:
    async with AsyncExitStack() as stack:
        log, lock = EmbeddedLog(path), OwnerLock(path)
        await log.open(create=True)
        stack.push_async_callback(log.close)
        if owner == "one":
            assert lock.try_acquire()
            stack.callback(lock.release)
        processes: list[LogProcess] = []
        for _ in range(2):
            processes.append(await LogProcess.start(path))
            stack.push_async_callback(processes[-1].kill)
        if owner == "other":
            assert await processes[0].do("own")
        elif owner == "third":
            assert await processes[1].do("own")
        assert await log.request_topics.open(create=True)
        remote = RemoteTopics(processes[0])
        assert await remote.open(create=True)
        yield Pair(log.request_topics, remote)


def kafka_log(bootstrap: str, app: str) -> Log:
    from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 - slow to import

    return KafkaLog(bootstrap, app=app, partitions=2)


@pytest.fixture(
    params=[
        *("memory", "embedded", "owner-one", "owner-other", "owner-third"),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Pair]:
    """Two users of one log; `owner-…`: in two processes, and one of three owns it."""
    kind: str = request.param
    if kind == "memory":
        log = MemoryLog(2)
        users = opened(log, log)
    elif kind == "embedded":
        users = opened(
            EmbeddedLog(tmp_path / "log.db"), EmbeddedLog(tmp_path / "log.db")
        )
    elif kind == "kafka":
        bootstrap = request.getfixturevalue("kafka_bootstrap")
        app = f"t-{secrets.token_hex(4)}"
        users = opened(kafka_log(bootstrap, app), kafka_log(bootstrap, app))
    else:
        users = between_processes(tmp_path / "log.db", kind.removeprefix("owner-"))
    async with users as made:
        yield made


def message(value: bytes | None, key: bytes | None = b"k") -> NewRecord:
    return NewRecord(key=key, value=value, headers=(("id", b"\x00\xff"), ("id", b"")))


async def read(subscription: Subscription, count: int) -> list[NewRecord]:
    """Read so many messages; there may be no more."""
    records: list[NewRecord] = []
    async with asyncio.timeout(LIMIT_S):
        while len(records) < count:
            records += [
                NewRecord(key=r.key, value=r.value, headers=r.headers)
                for r in await subscription.read()
            ]
    assert len(records) == count
    return records


async def test_a_message_comes_to_the_subscriber_as_it_was_posted(pair: Pair) -> None:
    subscription = await pair.one.subscribe(Topic.REQUESTS, 0)
    posted = [message(b"a"), message(b""), message(None), message(b"b", key=None)]
    for new in posted:
        pair.other.post(Topic.REQUESTS, 0, new)
    assert await read(subscription, len(posted)) == posted


async def test_a_request_and_its_reply_cross(pair: Pair) -> None:
    requests = await pair.other.subscribe(Topic.REQUESTS, 1)
    replies = await pair.one.subscribe(Topic.REPLIES, 0)
    for number in range(20):
        question = message(b"question %d" % number)
        pair.one.post(Topic.REQUESTS, 1, question)
        assert await read(requests, 1) == [question]
        pair.other.post(Topic.REPLIES, 0, message(b"answer %d" % number))
        assert await read(replies, 1) == [message(b"answer %d" % number)]


async def test_messages_of_one_sender_come_in_order(pair: Pair) -> None:
    subscription = await pair.other.subscribe(Topic.REPLIES, 0)
    posted = [message(b"%d" % number) for number in range(500)]
    for new in posted:
        pair.one.post(Topic.REPLIES, 0, new)
    assert await read(subscription, len(posted)) == posted


async def test_every_subscriber_gets_a_message(pair: Pair) -> None:
    subscriptions = [
        await topics.subscribe(Topic.REQUESTS, 0) for topics in (*pair, *pair)
    ]
    for topics in pair:
        topics.post(Topic.REQUESTS, 0, message(b"to all"))
        for subscription in subscriptions:
            assert await read(subscription, 1) == [message(b"to all")]


async def test_what_was_posted_before_is_not_delivered(pair: Pair) -> None:
    first = await pair.one.subscribe(Topic.REPLIES, 0)
    pair.other.post(Topic.REPLIES, 0, message(b"before"))
    assert await read(first, 1) == [message(b"before")]
    second = await pair.one.subscribe(Topic.REPLIES, 0)
    pair.other.post(Topic.REPLIES, 0, message(b"behind"))
    assert await read(second, 1) == [message(b"behind")]


async def test_other_partitions_and_topics_are_not_delivered(pair: Pair) -> None:
    subscription = await pair.one.subscribe(Topic.REQUESTS, 1)
    # So that it is not one who subscribed to nothing else that is tried.
    await pair.one.subscribe(Topic.REQUESTS, 0)
    await pair.one.subscribe(Topic.REPLIES, 0)
    pair.other.post(Topic.REQUESTS, 0, message(b"elsewhere"))
    pair.other.post(Topic.REPLIES, 0, message(b"elsewhere"))
    pair.other.post(Topic.REQUESTS, 1, message(b"here"))
    assert await read(subscription, 1) == [message(b"here")]


async def test_a_closed_subscription_takes_no_other_with_it(pair: Pair) -> None:
    closed = await pair.one.subscribe(Topic.REQUESTS, 0)
    subscription = await pair.one.subscribe(Topic.REQUESTS, 0)
    await closed.close()
    pair.other.post(Topic.REQUESTS, 0, message(b"a"))
    assert await read(subscription, 1) == [message(b"a")]
    await subscription.close()
    again = await pair.one.subscribe(Topic.REQUESTS, 0)
    pair.other.post(Topic.REQUESTS, 0, message(b"b"))
    assert await read(again, 1) == [message(b"b")]


@pytest.mark.kafka
async def test_last_words_leave_before_kafka_is_closed(kafka_bootstrap: str) -> None:
    app = f"t-{secrets.token_hex(4)}"
    speaker = kafka_log(kafka_bootstrap, app)
    async with opened(kafka_log(kafka_bootstrap, app)) as pair:
        subscription = await pair.one.subscribe(Topic.REPLIES, 0)
        await speaker.open(create=True)
        assert await speaker.request_topics.open(create=True)
        speaker.request_topics.post(Topic.REPLIES, 0, message(b"first"))
        assert await read(subscription, 1) == [message(b"first")]
        speaker.request_topics.post(Topic.REPLIES, 0, message(b"last"))
        await speaker.close()
        assert await read(subscription, 1) == [message(b"last")]


async def test_last_words_leave_before_a_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with between_processes(path, "one") as pair:
        subscription = await pair.one.subscribe(Topic.REPLIES, 0)
        speaker = await LogProcess.start(path)
        topics = RemoteTopics(speaker)
        assert await topics.open(create=True)
        topics.post(Topic.REPLIES, 0, message(b"first"))
        assert await read(subscription, 1) == [message(b"first")]
        last = message(b"last" * 100_000)
        speaker.tell("post_last", topic="replies", partition=0, record=packed(last))
        assert await read(subscription, 1) == [last]
        await speaker.kill()


async def test_a_large_message_is_delivered_whole(pair: Pair) -> None:
    subscription = await pair.one.subscribe(Topic.REPLIES, 0)
    posted = [message(bytes([number]) * 900_000) for number in range(5)]
    for new in posted:
        pair.other.post(Topic.REPLIES, 0, new)
    assert await read(subscription, len(posted)) == posted


async def test_a_message_that_somebody_may_get_is_not_called_lost(pair: Pair) -> None:
    subscription = await pair.one.subscribe(Topic.REQUESTS, 0)
    assert pair.other.post(Topic.REQUESTS, 0, message(b"a"))
    assert pair.one.post(Topic.REQUESTS, 0, message(b"b"))
    records = await read(subscription, 2)
    assert {record.value for record in records} == {b"a", b"b"}


async def test_attempts_cross_beside_requests_by_partition(pair: Pair) -> None:
    attempts = [await pair.one.subscribe(Topic.ATTEMPTS, number) for number in (0, 1)]
    requests = await pair.other.subscribe(Topic.REQUESTS, 0)
    for number in range(20):
        offer = message(b"offer %d" % number, key=None)
        pair.one.post(Topic.REQUESTS, 0, offer)
        assert await read(requests, 1) == [offer]
        posted = [message(b"attempt %d" % number, key=b"e%d" % n) for n in (0, 1, 0)]
        for partition, new in zip((0, 1, 0), posted, strict=True):
            pair.other.post(Topic.ATTEMPTS, partition, new)
        assert await read(attempts[0], 2) == [posted[0], posted[2]]
        assert await read(attempts[1], 1) == [posted[1]]


async def test_an_attempt_of_before_is_not_delivered(pair: Pair) -> None:
    first = await pair.one.subscribe(Topic.ATTEMPTS, 1)
    pair.other.post(Topic.ATTEMPTS, 1, message(b"before"))
    assert await read(first, 1) == [message(b"before")]
    second = await pair.one.subscribe(Topic.ATTEMPTS, 1)
    pair.other.post(Topic.ATTEMPTS, 1, message(b"behind"))
    assert await read(second, 1) == [message(b"behind")]


@pytest.mark.parametrize("topic", [Topic.ATTEMPTS, Topic.REPLIES])
async def test_the_largest_message_that_it_names_is_delivered(
    pair: Pair, topic: Topic
) -> None:
    most = min(pair.one.value_bytes_max(topic), 4 << 20)
    assert most >= 1_000_000
    subscription = await pair.one.subscribe(topic, 0)
    large = message(b"x" * most, key=b"k" * 200)
    pair.other.post(topic, 0, large)
    assert await read(subscription, 1) == [large]


async def test_what_is_too_large_takes_no_room_for_ever(pair: Pair) -> None:
    subscription = await pair.one.subscribe(Topic.REPLIES, 0)
    most = min(pair.one.value_bytes_max(Topic.REPLIES), 4 << 20)
    refused = message(b"x" * (most + 10_000))
    for number in range(4):  # together more bytes than may wait
        for _ in range((32 << 20) // most):
            pair.other.post(Topic.REPLIES, 0, refused)
        end = bytes([number]) * most
        pair.other.post(Topic.REPLIES, 0, message(end))
        async with asyncio.timeout(LIMIT_S):
            while end not in [record.value for record in await subscription.read()]:
                pass

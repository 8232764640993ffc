"""Searches that take long: asked again, beside others, and waited for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, InMemoryBackend, aio
from sayiir_es.client.requests import Requests
from sayiir_es.core.status.search import Search
from sayiir_es.engine.requests.searching import TURN_ENTRIES
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.reply_address import ReplyAddress
from sayiir_es.wire.requests import (
    Counted,
    CountInstances,
    Listed,
    ListInstances,
    Refused,
    Reply,
    StopSearch,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.log.port import RequestTopics, Subscription
    from sayiir_es.wire.requests import Request

CLIENT = "somebody"
MANY = TURN_ENTRIES + 1
"""Who looks at all of them lets others have a turn."""

NONE = Search(id_contains="none of these")
COUNT = CountInstances(search=Search(id_contains="i"))
LIST = ListInstances(search=NONE, limit=10)
PAGE = ListInstances(search=NONE, limit=10, within_ms=60_000)
LIMIT_S = 20.0

parked = Flow("parked").wait_for_signal("go").build()


@asynccontextmanager
async def served() -> AsyncGenerator[tuple[RequestTopics, Subscription]]:
    """The topics of a log whose owner has instances, and what it replies."""
    backend = InMemoryBackend()
    async with (
        aio.WorkflowClient(backend) as client,
        aio.Worker("w", backend, [parked]),
    ):
        starts = [(f"i{number}", None) for number in range(MANY)]
        await client.submit_many(parked, starts)
        topics = backend.open_log().request_topics
        replies = await topics.subscribe(Topic.REPLIES, 0)
        yield topics, replies
        await replies.close()


def ask(topics: RequestTopics, call: int, request: Request) -> None:
    headers = ReplyAddress(partition=0, client=CLIENT, call=call).headers()
    record = NewRecord(key=None, value=encode_request(request), headers=headers)
    assert topics.post(Topic.REQUESTS, 0, record)


async def read_replies(replies: Subscription, many: int) -> list[Reply]:
    """The next replies to the client of these tests."""
    found: list[Reply] = []
    async with asyncio.timeout(LIMIT_S):
        while len(found) < many:
            found += [
                decode_reply(record.value or b"")
                for record in await replies.read()
                if record.key == CLIENT.encode()
            ]
    return found


async def test_a_search_that_is_asked_again_while_it_runs_is_done_once() -> None:
    async with served() as (topics, replies):
        for _ in range(3):
            ask(topics, 1, COUNT)
        *told, answer = await read_replies(replies, 3)
        # They end no call: they say that the owner is at work.
        assert [(one.call, type(one.answer)) for one in told] == [(0, Refused)] * 2
        assert answer.call == 1
        assert answer.answer == Counted(counts={"": MANY})
        ask(topics, 1, COUNT)
        [again] = await read_replies(replies, 1)
        assert again.answer == answer.answer


@pytest.mark.parametrize("asked", [LIST, PAGE])
async def test_a_list_waits_for_no_count(asked: ListInstances) -> None:
    async with served() as (topics, replies):
        for call in range(1, 11):
            ask(topics, call, COUNT)
        ask(topics, 11, asked)
        answers = [one.answer for one in await read_replies(replies, 11)]
        assert Listed in map(type, answers[:3])


async def test_a_page_waits_for_no_list() -> None:
    async with served() as (topics, replies):
        for call in range(1, 11):
            ask(topics, call, LIST)
        ask(topics, 11, PAGE)
        calls = [one.call for one in await read_replies(replies, 11)]
        assert calls.index(11) < 5


async def test_a_search_that_nobody_waits_for_is_given_up() -> None:
    async with served() as (topics, replies):
        ask(topics, 1, COUNT)
        ask(topics, 2, LIST)
        for call in (1, 2, 3):
            ask(topics, call, StopSearch())  # of the third there is none
        ask(topics, 4, COUNT)
        [answer] = await read_replies(replies, 1)
        assert (answer.call, answer.answer) == (4, Counted(counts={"": MANY}))


async def test_a_count_goes_on_for_others_who_asked_for_the_same() -> None:
    async with served() as (topics, replies):
        ask(topics, 1, COUNT)
        ask(topics, 2, COUNT)
        ask(topics, 1, StopSearch())
        [answer] = await read_replies(replies, 1)
        assert (answer.call, answer.answer) == (2, Counted(counts={"": MANY}))


async def test_a_client_that_is_cancelled_says_so() -> None:
    backend = InMemoryBackend()
    async with aio.WorkflowClient(backend) as client:
        session = client._get_session()  # pyright: ignore[reportPrivateUsage]
        await session.open(create=True)
        topics = session.log.request_topics
        await topics.open(create=True)
        asked = await topics.subscribe(Topic.REQUESTS, 0)
        task = asyncio.create_task(session.ask(0, lambda _: COUNT))
        async with asyncio.timeout(LIMIT_S):
            [first] = await asked.read()
            task.cancel()
            [second] = await asked.read()
            await asyncio.wait((task,))
        assert task.cancelled()
        assert decode_request(second.value or b"") == StopSearch()
        assert second.headers == first.headers
        await asked.close()


async def test_an_owner_that_replies_to_anything_is_at_work_and_asked_again() -> None:
    log = MemoryLog(1)
    await log.open(create=True)
    topics = log.request_topics
    requests = Requests(log)
    await requests.open(create=True)
    asked = await topics.subscribe(Topic.REQUESTS, 0)
    try:
        call = requests.expect(0)
        assert requests.post(call, COUNT, again_s=60.0)
        assert not requests.is_at_work(call, within_s=60.0)
        [first] = await asked.read()
        other = requests.expect(0)
        number, reply_partition = other.address.call, other.address.partition
        told = Reply(call=number, partition=0, offset=0, answer=Counted(counts={}))
        key = other.address.client.encode()
        record = NewRecord(key=key, value=encode_reply(told))
        assert topics.post(Topic.REPLIES, reply_partition, record)
        async with asyncio.timeout(LIMIT_S):
            assert await requests.is_answered(other)
        assert requests.is_at_work(call, within_s=60.0)
        [again] = await asked.read()
        assert (again.value, again.headers) == (first.value, first.headers)
        assert call.reply is None
        assert not requests.is_at_work(call, within_s=-1.0)
    finally:
        await asked.close()
        await requests.close()
        await log.close()

"""Calls that wait: for a reply, for a decision and an end, or until time is up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es.client.requests import TICK_S, TICKED_FROM_S, Requests
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.requests import Answer, Decided, Ended, Reply, encode_reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.requests import Call

LIMIT_S = 20.0
SHORT_S = 0.01
DECIDED = Decided(event="WorkflowStarted", offset=1)
ENDED = Ended(status=None)


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[MemoryLog, Requests]]:
    log = MemoryLog(1)
    await log.open(create=True)
    requests = Requests(log)
    assert await requests.open(create=True)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield log, requests
    finally:
        await requests.close()
        await log.close()


def tell(log: MemoryLog, call: Call, answer: Answer) -> None:
    """Reply as an owner does."""
    address = call.address
    reply = Reply(call=address.call, partition=0, offset=1, answer=answer)
    record = NewRecord(key=address.client.encode(), value=encode_reply(reply))
    assert log.request_topics.post(Topic.REPLIES, address.partition, record)


@pytest.mark.parametrize("within_s", [SHORT_S, TICKED_FROM_S])
async def test_time_is_up_and_the_reply_comes_later(within_s: float) -> None:
    async with opened() as (log, requests):
        call = requests.expect(0)
        began = asyncio.get_running_loop().time()
        assert not await requests.is_answered(call, within_s)
        assert asyncio.get_running_loop().time() - began > within_s - TICK_S / 10
        tell(log, call, DECIDED)
        assert await requests.is_answered(call)
        assert call.answer == DECIDED


async def test_a_reply_that_comes_as_time_is_up_is_not_lost() -> None:
    async with opened() as (_, requests):
        call = requests.expect(0)
        waiting = asyncio.create_task(requests.is_answered(call, LIMIT_S))
        await asyncio.sleep(0)
        call.wake()  # time is up, and the task has not gone on
        call.take(DECIDED)
        await waiting
        assert await requests.is_answered(call)
        assert call.answer == DECIDED


async def test_the_first_reply_counts() -> None:
    async with opened() as (log, requests):
        call, other = requests.expect(0), requests.expect(0)
        tell(log, call, DECIDED)
        tell(log, call, ENDED)
        tell(log, other, ENDED)
        assert await requests.is_answered(other)
        assert call.answer == DECIDED


async def test_a_decision_is_told_before_the_end() -> None:
    async with opened() as (log, requests):
        call = requests.expect(0, decided=True, ended=True)
        tell(log, call, DECIDED)
        assert await requests.get_first(call) == DECIDED
        assert not await requests.is_answered(call, SHORT_S)
        tell(log, call, ENDED)
        assert await requests.is_answered(call)
        assert call.answer == ENDED


async def test_an_end_tells_of_a_decision_that_was_lost() -> None:
    async with opened() as (log, requests):
        call = requests.expect(0, decided=True, ended=True)
        tell(log, call, ENDED)
        assert await requests.get_first(call) == ENDED
        assert await requests.is_answered(call)


@pytest.mark.parametrize("limit_s", [SHORT_S, TICKED_FROM_S])
async def test_a_limit_ends_what_the_task_does(limit_s: float) -> None:
    async with opened() as (_, requests):
        call = requests.expect(0)

        async def wait() -> None:
            async with asyncio.timeout(None) as limit:
                requests.limit(call, limit, limit_s)
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await wait()


async def test_a_limit_that_is_left_in_time_ends_nothing() -> None:
    async with opened() as (log, requests):
        call = requests.expect(0)
        async with asyncio.timeout(None) as limit:
            requests.limit(call, limit, TICKED_FROM_S)
            tell(log, call, DECIDED)
            assert await requests.is_answered(call)
        call.limit = None
        other = requests.expect(0)
        assert not await requests.is_answered(other, TICKED_FROM_S + TICK_S)


async def test_who_waits_is_cancelled_at_the_end() -> None:
    async with opened() as (_, requests):
        call, later = requests.expect(0), requests.expect(0)
        waiting = asyncio.create_task(requests.is_answered(call))
        await asyncio.sleep(0)
        await requests.close()
        await asyncio.wait((waiting,))
        assert waiting.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await requests.is_answered(later)

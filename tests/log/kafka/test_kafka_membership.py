"""Two and three members of one group: their assignments, and what each learns."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.membership import KafkaMembership
from tests import kafka_app
from tests.kafka_app import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from tests.broker import LocalBroker

T = TypeVar("T")

pytestmark = pytest.mark.kafka


def copy_of(log: KafkaLog) -> KafkaLog:
    """Return another log object of the same app, as another process has one."""
    return KafkaLog(
        log.bootstrap_servers,
        app=log.app,
        session_timeout_ms=log.session_timeout_ms,
        heartbeat_interval_ms=log.heartbeat_interval_ms,
    )


@asynccontextmanager
async def joined(log: KafkaLog) -> AsyncGenerator[KafkaMembership]:
    """A member of the app's group, with its own log object."""
    own = copy_of(log)
    await own.open(create=False)
    member = KafkaMembership(own)
    try:
        await member.join()
        yield member
    finally:
        await member.leave()
        await own.close()


def is_assigned_once(count: int, *members: KafkaMembership) -> bool:
    shares = [member.current().partitions for member in members]
    flat = [p for share in shares for p in share]
    return sorted(flat) == list(range(count))


async def until_rebalancing(log: KafkaLog) -> None:
    group = f"{log.app}.workers"
    async with kafka_app.admin(log.bootstrap_servers) as admin:
        state = ""
        async with asyncio.timeout(kafka_app.LIMIT_S):
            while state != "PreparingRebalance":
                (response,) = await admin.describe_consumer_groups([group])
                state = response.groups[0][2]


class OtherLoop:
    """An event loop in its own thread, which can be stopped like a process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait for its result."""
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(work, self._loop)
        )

    def freeze(self) -> None:
        """Stop the loop, as SIGSTOP would; connections stay open."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def thaw(self) -> None:
        """Let the loop go on."""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()


async def test_the_first_member_has_all_partitions_when_join_returns(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=3) as log:
        before_s = time.monotonic()
        async with joined(log) as member:
            current = member.current()
            assert current.partitions == {0, 1, 2}
            assert current.epoch == 1
            assert current.lapses == 0
            assert before_s < current.fresh_at_s <= time.monotonic()


async def test_heartbeats_make_the_assignment_fresh_and_change_nothing(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log, joined(log) as member:
        first = member.current()
        await until(lambda: member.current().epoch > first.epoch + 2)
        later = member.current()
        assert later.fresh_at_s > first.fresh_at_s
        assert (later.partitions, later.lapses) == (first.partitions, 0)
        change = asyncio.ensure_future(member.changed(first.epoch))
        await until(lambda: member.current().epoch > later.epoch + 1)
        assert not change.done()
        change.cancel()


async def test_a_joiner_and_a_leaver_move_only_what_must_move(
    kafka_bootstrap: str,
) -> None:
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(
            kafka_app.opened(kafka_bootstrap, partitions=8)
        )
        first = await stack.enter_async_context(joined(log))
        change = asyncio.ensure_future(first.changed(first.current().epoch))
        second = await stack.enter_async_context(joined(log))
        await until(lambda: is_assigned_once(8, first, second))
        assert (await change).partitions == first.current().partitions
        before = [first.current().partitions, second.current().partitions]
        assert [len(share) for share in before] == [4, 4]
        async with joined(log) as third:
            await until(lambda: is_assigned_once(8, first, second, third))
            during = [first.current().partitions, second.current().partitions]
            assert [len(h - k) for h, k in zip(before, during, strict=True)] == [1, 1]
            assert all(k <= h for h, k in zip(before, during, strict=True))
            begin_s = time.monotonic()
            await third.leave()
            assert time.monotonic() - begin_s < 1
            assert third.current().partitions == frozenset()
        await until(lambda: is_assigned_once(8, first, second))
        after = [first.current().partitions, second.current().partitions]
        assert all(k <= a for k, a in zip(during, after, strict=True))
        assert first.current().lapses == second.current().lapses == 0


async def test_a_frozen_member_loses_its_share_after_the_session_and_notices(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=4) as log:
        other_loop = OtherLoop()
        own = copy_of(log)
        await other_loop.run(own.open(create=False))
        frozen = KafkaMembership(own)
        await other_loop.run(frozen.join())
        async with joined(log) as other:
            await until(lambda: is_assigned_once(4, frozen, other))
            begin_s = time.monotonic()
            other_loop.freeze()
            await until(lambda: len(other.current().partitions) == 4)
            assert 0.5 < time.monotonic() - begin_s < 5
            # The first to look notices the silence, before any answer comes.
            assert frozen.current().lapses == 1
            other_loop.thaw()
            await until(lambda: is_assigned_once(4, frozen, other))
            # Once for the silence, once because it is another member now.
            assert frozen.current().lapses == 2
            assert other.current().lapses == 0
        await other_loop.run(frozen.leave())
        await other_loop.run(own.close())
        other_loop.freeze()


async def test_a_member_leaves_at_once_while_a_join_waits_for_others(
    kafka_bootstrap: str,
) -> None:
    settings = {"session_timeout_ms": 10_000}
    async with kafka_app.opened(kafka_bootstrap, **settings) as log:
        other_loop = OtherLoop()
        own = copy_of(log)
        await other_loop.run(own.open(create=False))
        frozen = KafkaMembership(own)
        await other_loop.run(frozen.join())
        other_loop.freeze()
        # The join of the next one waits for the frozen one, as long as its session.
        joining = KafkaMembership(log)
        join = asyncio.ensure_future(joining.join())
        await until_rebalancing(log)
        begin_s = time.monotonic()
        await joining.leave()
        assert time.monotonic() - begin_s < 3
        await join
        other_loop.thaw()
        await other_loop.run(frozen.leave())
        await other_loop.run(own.close())
        other_loop.freeze()


async def test_an_assignment_that_comes_while_it_leaves_gives_it_nothing(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=2) as log:
        member = KafkaMembership(log)
        await member.join()
        await member.leave()
        topic = f"{log.app}.commands"
        member.on_partitions_assigned([TopicPartition(topic, 0)])
        member.assigned(time.monotonic(), "w-1", 9)
        assert member.current().partitions == frozenset()


async def test_a_broker_away_for_a_session_is_a_lapse_and_the_share_stays(
    local_broker: LocalBroker,
) -> None:
    async with (
        kafka_app.opened(local_broker.bootstrap) as log,
        joined(log) as member,
    ):
        before = member.current()
        change = asyncio.ensure_future(member.changed(before.epoch))
        local_broker.kill(1)
        assignment = await asyncio.wait_for(change, 5)
        assert assignment.lapses == 1
        assert assignment.partitions == before.partitions
        local_broker.launch(1)
        fresh_at_s = member.current().fresh_at_s
        await until(lambda: member.current().fresh_at_s > fresh_at_s)
        assert member.current().partitions == before.partitions


async def test_a_session_that_the_brokers_do_not_allow_is_refused_with_its_limits(
    kafka_bootstrap: str,
) -> None:
    settings = {"session_timeout_ms": 100, "heartbeat_interval_ms": 30}
    async with kafka_app.opened(kafka_bootstrap, **settings) as log:
        member = KafkaMembership(log)
        with pytest.raises(UnsafeLogError, match=r"group\.min\.session\.timeout\.ms"):
            await member.join()


async def test_what_a_member_refuses_goes_to_the_other_until_it_takes_it_again(
    kafka_bootstrap: str,
) -> None:
    async with (
        kafka_app.opened(kafka_bootstrap, partitions=4) as log,
        joined(log) as first,
        joined(log) as second,
    ):
        await until(lambda: is_assigned_once(4, first, second))
        second.refuse(frozenset(range(4)))
        await until(lambda: first.current().partitions == frozenset(range(4)))
        await until(lambda: not second.current().partitions)
        first.refuse(frozenset({3}))
        await asyncio.sleep(0)
        first.refuse(frozenset({3, 2}))
        second.refuse(frozenset({0, 1, 2}))
        await until(lambda: second.current().partitions == frozenset({2, 3}))
        # Partition 2, which both refuse, is assigned all the same.
        await until(lambda: is_assigned_once(4, first, second))
        for member in (first, second):
            member.refuse(frozenset())
        await until(lambda: len(first.current().partitions) == 2)
        await until(lambda: is_assigned_once(4, first, second))

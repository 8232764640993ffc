"""Members with a group instance id: killed and back, ended, and two of one id."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.errors import GroupInstanceTakenError
from sayiir_es.log.kafka import coordinator
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.membership import KafkaMembership
from tests import kafka_app
from tests.kafka_app import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.kafka

SESSION_S = 30.0


@asynccontextmanager
async def joined(
    log: KafkaLog, instance: str | None, owner: str
) -> AsyncGenerator[KafkaMembership]:
    """A static member of the app's group that claims as `owner`."""
    own = KafkaLog(
        log.bootstrap_servers,
        app=log.app,
        session_timeout_ms=int(SESSION_S * 1000),
        heartbeat_interval_ms=200,
        group_instance_id=instance,
    )
    await own.open(create=False)
    member = KafkaMembership(own)
    member.introduce(owner)
    try:
        await member.join()
        yield member
    finally:
        await member.leave()
        await own.close()


async def kill(member: KafkaMembership) -> None:
    """End what a member sends, as kill -9 does: the group hears nothing of it."""
    inside: Any = member
    consumer, inside._consumer = inside._consumer, None
    inside._poll.cancel()
    await coordinator.client_of(consumer).close()
    with contextlib.suppress(Exception):
        await consumer.stop()


def shares(*members: KafkaMembership) -> list[frozenset[int]]:
    return [member.current().partitions for member in members]


def is_known_to_one(owners: frozenset[str], *members: KafkaMembership) -> bool:
    return any(member.living() == owners for member in members)


async def follow(member: KafkaMembership) -> None:
    """Wait for one change after the other, as a worker does."""
    while True:
        await member.changed(member.current().epoch)


@pytest.mark.parametrize("killed", [0, 1])
async def test_a_killed_member_that_is_back_within_its_session_has_its_share_at_once(
    kafka_bootstrap: str, killed: int
) -> None:
    async with (
        kafka_app.opened(kafka_bootstrap, partitions=4) as log,
        joined(log, "pod-0", "first") as one,
        joined(log, "pod-1", "second") as two,
    ):
        both = (one, two)  # of which the first leads the group
        await until(lambda: sorted(map(len, shares(*both))) == [2, 2])
        other = both[1 - killed]
        lost, kept = shares(both[killed], other)
        await kill(both[killed])
        killed_at_s = time.monotonic()
        async with joined(log, f"pod-{killed}", "third") as back:
            assert shares(back, other) == [lost, kept]
            assert time.monotonic() - killed_at_s < SESSION_S / 2
            # The leader must learn who lives now: it withdraws what the dead announced.
            owners = frozenset({"third", ("second", "first")[killed]})
            await until(lambda: is_known_to_one(owners, back, other))
            assert shares(back, other) == [lost, kept]
            assert back.current().lapses == other.current().lapses == 0


async def test_a_member_that_ends_leaves_the_group_and_its_share_moves_at_once(
    kafka_bootstrap: str,
) -> None:
    async with (
        kafka_app.opened(kafka_bootstrap, partitions=4) as log,
        joined(log, "pod-0", "first") as one,
    ):
        async with joined(log, "pod-1", "second") as two:
            await until(lambda: sorted(map(len, shares(one, two))) == [2, 2])
            left_at_s = time.monotonic()
        await until(lambda: len(one.current().partitions) == 4)
        assert time.monotonic() - left_at_s < SESSION_S / 2


async def test_of_two_with_one_id_the_later_one_stays_and_the_other_is_told(
    kafka_bootstrap: str,
) -> None:
    async with (
        kafka_app.opened(kafka_bootstrap, partitions=4) as log,
        joined(log, "pod-0", "first") as one,
        joined(log, "pod-0", "second") as two,
    ):
        async with asyncio.timeout(kafka_app.LIMIT_S):
            with pytest.raises(GroupInstanceTakenError, match="'pod-0'"):
                await follow(one)
        await one.leave()
        # With its next heartbeat the first one would have joined again.
        fresh_until_s = time.monotonic() + 1
        await until(lambda: two.current().fresh_at_s > fresh_until_s)
        assert two.current().partitions == {0, 1, 2, 3}
        assert two.current().lapses == 0

"""What displaced owners write late, and crashes leave, does not stay."""

# pyright: reportPrivateUsage=false
# A topic is emptied beneath the port.

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from sayiir_es.engine.publishing.publisher import LOOK_EVERY_S, PUBLISH_EVERY_S
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import World, copied
from tests.engine.publishing.publishing_scenario import (
    FLOW,
    WAITING,
    MoodyLog,
    crash,
    hold,
    play,
    start,
)
from tests.engine.publishing.snapshot_table import table_of

if TYPE_CHECKING:
    from sayiir_es.engine.worker import WorkerEngine


async def with_a_past(world: World) -> tuple[WorkerEngine, NewRecord]:
    """A worker, and a record of its instance that is no longer true."""
    engine = await world.started(FLOW, WAITING)
    await start(world, "i", workflow="waiting")
    await world.until_kind("SignalAwaited")
    await asyncio.sleep(2 * PUBLISH_EVERY_S)
    old = copied((await world.records(Topic.SNAPSHOTS))[-1])
    await world.command("SendSignal", signal="ok", payload=1)
    await world.output()
    await asyncio.sleep(2 * PUBLISH_EVERY_S)
    return engine, old


def test_a_late_record_is_healed_by_an_owner_that_has_nothing_to_publish() -> None:
    async def scene(world: World) -> None:
        engine, old = await with_a_past(world)
        await world.log.produce(Topic.SNAPSHOTS, 0, old)
        await asyncio.sleep(LOOK_EVERY_S + 2 * PUBLISH_EVERY_S)
        await hold(world, engine)
        await engine.stop(drain=False)

    play(scene)


def test_a_late_record_is_healed_by_the_next_publication() -> None:
    async def scene(world: World) -> None:
        engine, old = await with_a_past(world)
        await world.log.produce(Topic.SNAPSHOTS, 0, old)
        await start(world, "another")
        await world.output("another")
        await asyncio.sleep(4 * PUBLISH_EVERY_S)
        await hold(world, engine)
        await engine.stop(drain=False)

    play(scene)


def test_a_late_record_that_nobody_healed_is_healed_by_the_next_owner() -> None:
    async def scene(world: World) -> None:
        first, old = await with_a_past(world)
        await crash(first)
        async with world.worker(FLOW, WAITING):
            await start(world, "another")
            await world.output("another")
        await world.log.produce(Topic.SNAPSHOTS, 0, old)
        async with world.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            await hold(world, engine)

    play(scene)


def test_a_topic_that_was_emptied_under_its_owner_is_filled_again() -> None:
    async def scene(world: World) -> None:
        engine, _ = await with_a_past(world)
        await start(world, "another")
        await world.output("another")
        await asyncio.sleep(2 * PUBLISH_EVERY_S)
        partition = world.log._topics._partition(Topic.SNAPSHOTS, 0)
        partition.records.clear()
        await asyncio.sleep(LOOK_EVERY_S + 1)
        await hold(world, engine)
        await engine.stop(drain=False)

    play(scene)


def test_records_of_another_history_are_replaced() -> None:
    other: list[NewRecord] = []

    async def before(world: World) -> None:
        engine, _ = await with_a_past(world)
        await start(world, *(f"i-{n}" for n in range(5)))
        await world.output("i-4")
        await engine.stop(drain=False)
        other.extend(map(copied, await world.records(Topic.SNAPSHOTS)))

    async def scene(world: World) -> None:
        await world.log.open(create=True)
        await world.log.produce(Topic.SNAPSHOTS, 0, other[-1])
        async with world.worker(FLOW):
            await start(world, "mine")
            await world.output("mine")
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
        assert "mine" in table_of(await world.records(Topic.SNAPSHOTS))

    play(before)
    play(scene)


@pytest.mark.parametrize("seed", range(20))
def test_whenever_owners_crash_the_table_ends_up_right(seed: int) -> None:
    chance = Random(seed)  # noqa: S311 (a test's)

    async def scene(world: World) -> None:
        assert isinstance(world.log, MoodyLog)
        total = 0
        for _ in range(chance.randrange(1, 5)):
            engine = await world.started(FLOW, WAITING)
            for _ in range(chance.randrange(4)):
                workflow = chance.choice(("short", "waiting"))
                names = [f"i-{total + n}" for n in range(chance.randrange(8))]
                total += len(names)
                await start(world, *names, workflow=workflow)
                await asyncio.sleep(chance.random() * 2 * PUBLISH_EVERY_S)
                world.log.fails = chance.choice((0, 0, 3))
            if chance.random() < 0.7:
                await crash(engine)
            else:
                await engine.stop(drain=False)
        async with world.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(60)
            await hold(world, engine)

    play(scene)

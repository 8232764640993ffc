"""Late records of displaced owners, and what crashes leave, are published again."""

# pyright: reportPrivateUsage=false
# A topic is emptied without the port.

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from sayiir_es.engine.publishing.publisher import LOOK_EVERY_S, PUBLISH_EVERY_S
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import EngineHarness, copy_of
from tests.engine.publishing.publishing_scenario import (
    FLOW,
    WAITING,
    FailingLog,
    check_published,
    crash,
    run_scenario,
    start,
)
from tests.engine.publishing.snapshot_table import table_of

if TYPE_CHECKING:
    from sayiir_es.engine.worker import WorkerEngine


async def worker_with_old_record(
    harness: EngineHarness,
) -> tuple[WorkerEngine, NewRecord]:
    """A worker, and a record of its instance that is no longer true."""
    engine = await harness.start_worker(FLOW, WAITING)
    await start(harness, "i", workflow="waiting")
    await harness.until_kind("SignalAwaited")
    await asyncio.sleep(2 * PUBLISH_EVERY_S)
    old_record = copy_of((await harness.records(Topic.SNAPSHOTS))[-1])
    await harness.command("SendSignal", signal="ok", payload=1)
    await harness.output()
    await asyncio.sleep(2 * PUBLISH_EVERY_S)
    return engine, old_record


def test_a_late_record_is_healed_by_an_owner_that_has_nothing_to_publish() -> None:
    async def scenario(harness: EngineHarness) -> None:
        engine, old_record = await worker_with_old_record(harness)
        await harness.log.produce(Topic.SNAPSHOTS, 0, old_record)
        await asyncio.sleep(LOOK_EVERY_S + 2 * PUBLISH_EVERY_S)
        await check_published(harness, engine)
        await engine.stop(drain=False)

    run_scenario(scenario)


def test_a_late_record_is_healed_by_the_next_publication() -> None:
    async def scenario(harness: EngineHarness) -> None:
        engine, old_record = await worker_with_old_record(harness)
        await harness.log.produce(Topic.SNAPSHOTS, 0, old_record)
        await start(harness, "another")
        await harness.output("another")
        await asyncio.sleep(4 * PUBLISH_EVERY_S)
        await check_published(harness, engine)
        await engine.stop(drain=False)

    run_scenario(scenario)


def test_a_late_record_that_nobody_healed_is_healed_by_the_next_owner() -> None:
    async def scenario(harness: EngineHarness) -> None:
        first, old_record = await worker_with_old_record(harness)
        await crash(first)
        async with harness.worker(FLOW, WAITING):
            await start(harness, "another")
            await harness.output("another")
        await harness.log.produce(Topic.SNAPSHOTS, 0, old_record)
        async with harness.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            await check_published(harness, engine)

    run_scenario(scenario)


def test_a_topic_that_was_emptied_under_its_owner_is_filled_again() -> None:
    async def scenario(harness: EngineHarness) -> None:
        engine, _ = await worker_with_old_record(harness)
        await start(harness, "another")
        await harness.output("another")
        await asyncio.sleep(2 * PUBLISH_EVERY_S)
        partition = harness.log._topics._partition(Topic.SNAPSHOTS, 0)
        partition.records.clear()
        await asyncio.sleep(LOOK_EVERY_S + 1)
        await check_published(harness, engine)
        await engine.stop(drain=False)

    run_scenario(scenario)


def test_records_of_another_history_are_replaced() -> None:
    earlier_records: list[NewRecord] = []

    async def earlier_app(harness: EngineHarness) -> None:
        engine, _ = await worker_with_old_record(harness)
        await start(harness, *(f"i-{n}" for n in range(5)))
        await harness.output("i-4")
        await engine.stop(drain=False)
        earlier_records.extend(map(copy_of, await harness.records(Topic.SNAPSHOTS)))

    async def scenario(harness: EngineHarness) -> None:
        await harness.log.open(create=True)
        await harness.log.produce(Topic.SNAPSHOTS, 0, earlier_records[-1])
        async with harness.worker(FLOW):
            await start(harness, "mine")
            await harness.output("mine")
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
        assert "mine" in table_of(await harness.records(Topic.SNAPSHOTS))

    run_scenario(earlier_app)
    run_scenario(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_whenever_owners_crash_the_table_ends_up_right(seed: int) -> None:
    chance = Random(seed)  # noqa: S311 (a test's)

    async def scenario(harness: EngineHarness) -> None:
        assert isinstance(harness.log, FailingLog)
        total = 0
        for _ in range(chance.randrange(1, 5)):
            engine = await harness.start_worker(FLOW, WAITING)
            for _ in range(chance.randrange(4)):
                workflow = chance.choice(("short", "waiting"))
                names = [f"i-{total + n}" for n in range(chance.randrange(8))]
                total += len(names)
                await start(harness, *names, workflow=workflow)
                await asyncio.sleep(chance.random() * 2 * PUBLISH_EVERY_S)
                harness.log.fails = chance.choice((0, 0, 3))
            if chance.random() < 0.7:
                await crash(engine)
            else:
                await engine.stop(drain=False)
        async with harness.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(60)
            await check_published(harness, engine)

    run_scenario(scenario)

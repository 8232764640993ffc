"""Owners publish each instance's latest snapshot, and nothing stays missing.

At the end of each scenario the table that a consumer makes of the topic equals the fold
of the events, and so does what compaction leaves of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.engine.publishing import backlog
from sayiir_es.engine.publishing.backlog import Backlog
from sayiir_es.engine.publishing.publisher import LOOK_EVERY_S, PUBLISH_EVERY_S
from sayiir_es.log.port import Topic
from tests.engine.publishing.publishing_scenario import (
    FLOW,
    WAITING,
    FailingLog,
    check_published,
    crash,
    run_scenario,
    snapshots,
    start,
)
from tests.engine.publishing.snapshot_table import snapshot_in, table_of

if TYPE_CHECKING:
    import pytest

    from tests.engine.harness import EngineHarness


def test_the_table_says_what_the_fold_says_and_a_tick_is_one_record() -> None:
    async def scenario(harness: EngineHarness) -> None:
        async with harness.worker(FLOW, WAITING) as engine:
            await start(harness, "one", "two")
            await start(harness, "three", workflow="waiting")
            await harness.output("one")
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            assert await snapshots(harness) <= 6
            table = table_of(await harness.records(Topic.SNAPSHOTS))
            three = table["three"]
            assert (three.status, three.signal) == ("awaiting_signal", "ok")
            assert "signal 'ok'" in three.waiting_for
            assert (table["one"].status, table["one"].output) == ("completed", b"1")
            await check_published(harness, engine)

    run_scenario(scenario)


def test_nothing_is_published_where_nobody_asked_for_it() -> None:
    async def scenario(harness: EngineHarness) -> None:
        harness.snapshots = False
        async with harness.worker(FLOW):
            await start(harness, "i")
            await harness.output()
            await asyncio.sleep(LOOK_EVERY_S)
        assert await snapshots(harness) == 0

    run_scenario(scenario)


def test_what_a_crash_left_between_ack_and_publication_the_next_owner_publishes() -> (
    None
):
    async def scenario(harness: EngineHarness) -> None:
        first = await harness.start_worker(FLOW)
        await start(harness, "early")
        await harness.output("early")
        await asyncio.sleep(2 * PUBLISH_EVERY_S)
        before = await snapshots(harness)
        await start(harness, "late")
        await harness.until_kind("PositionUpdated", "late")
        await crash(first)
        assert await snapshots(harness) == before
        async with harness.worker(FLOW) as second:
            await asyncio.sleep(4 * PUBLISH_EVERY_S)
            await check_published(harness, second)
        published_ids = [
            snapshot_in(r).instance_id for r in await harness.records(topic)
        ]
        assert "late" in published_ids[before:]

    topic = Topic.SNAPSHOTS
    run_scenario(scenario)


def test_an_owner_that_stops_in_good_order_leaves_nothing() -> None:
    async def scenario(harness: EngineHarness) -> None:
        async with harness.worker(FLOW) as engine:
            await start(harness, "i")
            await harness.output()
        await check_published(harness, engine)

    run_scenario(scenario)


def test_an_app_where_it_is_switched_on_later_publishes_all() -> None:
    async def scenario(harness: EngineHarness) -> None:
        harness.snapshots = False
        async with harness.worker(FLOW, WAITING):
            await start(harness, *(f"i-{n}" for n in range(30)))
            await start(harness, "w", workflow="waiting")
            await harness.until_kind("SignalAwaited", "w")
            for number in range(30):
                await harness.output(f"i-{number}")
        harness.snapshots = True
        async with harness.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            await check_published(harness, engine)
        assert await snapshots(harness) == 31

    run_scenario(scenario)


def test_a_topic_that_refuses_stops_nothing_and_gets_it_all_in_the_end() -> None:
    async def scenario(harness: EngineHarness) -> None:
        assert isinstance(harness.log, FailingLog)
        harness.log.fails = 25
        async with harness.worker(FLOW) as engine:
            await start(harness, *(f"i-{n}" for n in range(10)))
            for number in range(10):
                await harness.output(f"i-{number}")
            await asyncio.sleep(60)
            assert engine.stopped == {}
            await check_published(harness, engine)

    run_scenario(scenario)


def test_more_changes_than_are_remembered_are_found_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "WAITING_MAX", 4)

    async def scenario(harness: EngineHarness) -> None:
        assert isinstance(harness.log, FailingLog)
        harness.log.fails = 10
        async with harness.worker(FLOW) as engine:
            await start(harness, *(f"i-{n}" for n in range(40)))
            for number in range(40):
                await harness.output(f"i-{number}")
            await asyncio.sleep(30)
            await check_published(harness, engine)

    run_scenario(scenario)


def test_an_output_without_room_is_left_out() -> None:
    async def scenario(harness: EngineHarness) -> None:
        assert isinstance(harness.log, FailingLog)
        harness.log.bytes_max = 2_000
        async with harness.worker(FLOW):
            await harness.command("StartWorkflow", workflow="short", input="x" * 3_000)
            await harness.output()
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
        [summary] = table_of(await harness.records(Topic.SNAPSHOTS)).values()
        assert (summary.status, summary.output) == ("completed", None)

    run_scenario(scenario)


def test_a_backlog_is_complete_before_its_oldest_change() -> None:
    waiting_backlog = Backlog(10)
    assert (waiting_backlog.complete_before, len(waiting_backlog)) == (10, 0)
    waiting_backlog.add(("a", "b"), 12)
    waiting_backlog.add(("a", "c"), 15)
    waiting_backlog.end_offset = 20
    assert waiting_backlog.take(2) == ["a", "b"]
    waiting_backlog.add(("a",), 21)
    assert waiting_backlog.complete_before == 12
    waiting_backlog.undo()
    assert waiting_backlog.take(2) == ["a", "b"]
    waiting_backlog.confirm()
    assert waiting_backlog.complete_before == 15
    assert waiting_backlog.take(5) == ["c"]
    waiting_backlog.confirm()
    assert (waiting_backlog.complete_before, len(waiting_backlog)) == (20, 0)

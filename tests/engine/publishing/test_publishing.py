"""Owners publish each instance's latest state, and nothing stays missing.

At the end of each scene the table that a consumer makes of the topic equals the fold
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
    MoodyLog,
    crash,
    hold,
    play,
    snapshots,
    start,
)
from tests.engine.publishing.snapshot_table import snapshot_in, table_of

if TYPE_CHECKING:
    import pytest

    from tests.engine.harness import World


def test_the_table_says_what_the_fold_says_and_a_tick_is_one_record() -> None:
    async def scene(world: World) -> None:
        async with world.worker(FLOW, WAITING) as engine:
            await start(world, "one", "two")
            await start(world, "three", workflow="waiting")
            await world.output("one")
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            assert await snapshots(world) <= 6
            table = table_of(await world.records(Topic.SNAPSHOTS))
            three = table["three"]
            assert (three.status, three.signal) == ("awaiting_signal", "ok")
            assert "signal 'ok'" in three.waiting_for
            assert (table["one"].status, table["one"].output) == ("completed", b"1")
            await hold(world, engine)

    play(scene)


def test_nothing_is_published_where_nobody_asked_for_it() -> None:
    async def scene(world: World) -> None:
        world.snapshots = False
        async with world.worker(FLOW):
            await start(world, "i")
            await world.output()
            await asyncio.sleep(LOOK_EVERY_S)
        assert await snapshots(world) == 0

    play(scene)


def test_what_a_crash_left_between_ack_and_publication_the_next_owner_publishes() -> (
    None
):
    async def scene(world: World) -> None:
        first = await world.started(FLOW)
        await start(world, "early")
        await world.output("early")
        await asyncio.sleep(2 * PUBLISH_EVERY_S)
        before = await snapshots(world)
        await start(world, "late")
        await world.until_kind("PositionUpdated", "late")
        await crash(first)
        assert await snapshots(world) == before
        async with world.worker(FLOW) as second:
            await asyncio.sleep(4 * PUBLISH_EVERY_S)
            await hold(world, second)
        named = [snapshot_in(r).instance_id for r in await world.records(topic)]
        assert "late" in named[before:]

    topic = Topic.SNAPSHOTS
    play(scene)


def test_an_owner_that_stops_in_good_order_leaves_nothing() -> None:
    async def scene(world: World) -> None:
        async with world.worker(FLOW) as engine:
            await start(world, "i")
            await world.output()
        await hold(world, engine)

    play(scene)


def test_an_app_where_it_is_switched_on_later_publishes_all() -> None:
    async def scene(world: World) -> None:
        world.snapshots = False
        async with world.worker(FLOW, WAITING):
            await start(world, *(f"i-{n}" for n in range(30)))
            await start(world, "w", workflow="waiting")
            await world.until_kind("SignalAwaited", "w")
            for number in range(30):
                await world.output(f"i-{number}")
        world.snapshots = True
        async with world.worker(FLOW, WAITING) as engine:
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
            await hold(world, engine)
        assert await snapshots(world) == 31

    play(scene)


def test_a_topic_that_refuses_stops_nothing_and_gets_it_all_in_the_end() -> None:
    async def scene(world: World) -> None:
        assert isinstance(world.log, MoodyLog)
        world.log.fails = 25
        async with world.worker(FLOW) as engine:
            await start(world, *(f"i-{n}" for n in range(10)))
            for number in range(10):
                await world.output(f"i-{number}")
            await asyncio.sleep(60)
            assert engine.stopped == {}
            await hold(world, engine)

    play(scene)


def test_more_changes_than_are_remembered_are_found_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "WAITING_MAX", 4)

    async def scene(world: World) -> None:
        assert isinstance(world.log, MoodyLog)
        world.log.fails = 10
        async with world.worker(FLOW) as engine:
            await start(world, *(f"i-{n}" for n in range(40)))
            for number in range(40):
                await world.output(f"i-{number}")
            await asyncio.sleep(30)
            await hold(world, engine)

    play(scene)


def test_an_output_without_room_is_left_out() -> None:
    async def scene(world: World) -> None:
        assert isinstance(world.log, MoodyLog)
        world.log.bytes_max = 2_000
        async with world.worker(FLOW):
            await world.command("StartWorkflow", workflow="short", input="x" * 3_000)
            await world.output()
            await asyncio.sleep(2 * PUBLISH_EVERY_S)
        [found] = table_of(await world.records(Topic.SNAPSHOTS)).values()
        assert (found.status, found.output) == ("completed", None)

    play(scene)


def test_a_backlog_is_complete_before_its_oldest_change() -> None:
    waiting = Backlog(10)
    assert (waiting.complete_before, len(waiting)) == (10, 0)
    waiting.add(("a", "b"), 12)
    waiting.add(("a", "c"), 15)
    waiting.end_offset = 20
    assert waiting.take(2) == ["a", "b"]
    waiting.add(("a",), 21)
    assert waiting.complete_before == 12
    waiting.undo()
    assert waiting.take(2) == ["a", "b"]
    waiting.confirm()
    assert waiting.complete_before == 15
    assert waiting.take(5) == ["c"]
    waiting.confirm()
    assert (waiting.complete_before, len(waiting)) == (20, 0)

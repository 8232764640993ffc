"""Of a burst of starts the last one starts, once: over three partitions of a log."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from sayiir_es import Flow
from sayiir_es.core.model.debounce_events import debounce_id
from sayiir_es.core.model.events import WorkflowStarted
from sayiir_es.engine.clock import ManualClock
from tests.engine.family import Family, StoppingLog

NOW = 1_700_000_000_000
KEY = debounce_id("w")


def echo(value: object) -> object:
    return value


W = Flow("w").then(echo).build()


async def start(family: Family, name: str, **fields: Any) -> list[Any]:
    """Have a start wait; returns the history of its key."""
    before = len(await family.events(KEY))
    given = {"workflow": "w", "input": name, "quiet_ms": 5_000, **fields}
    await family.command("DebounceStart", KEY, start_id=name, **given)
    return await family.until(lambda kinds: len(kinds) > before, KEY)


def advance(family: Family, ms: int) -> None:
    assert isinstance(family.clock, ManualClock)
    family.clock.move(ms)
    owners = {} if family.engine is None else family.engine.owners
    for owner in owners.values():
        owner.look()


async def started(family: Family, name: str) -> WorkflowStarted:
    events = await family.until_kind("WorkflowCompleted", name)
    assert [event.kind for event in events].count("WorkflowStarted") == 1
    body = events[0].body
    assert isinstance(body, WorkflowStarted)
    return body


async def test_the_last_of_a_burst_starts_when_it_is_quiet() -> None:
    async with Family(W, clock=ManualClock(NOW)) as family:
        events: list[Any] = []
        for name in "abc":
            events = await start(family, name, attributes={"n": name})
            advance(family, 4_000)
        assert [event.body.replaced for event in events] == [None, "a", "b"]
        assert [event.body.due_at - NOW for event in events] == [5_000, 9_000, 13_000]
        advance(family, 999)
        assert "DebounceElapsed" not in await family.kinds(KEY)
        advance(family, 1)
        body = await started(family, "c")
        assert (json.loads(body.input), body.attributes) == ("c", {"n": "c"})
        kinds = await family.until(lambda kinds: "DebouncedStartSent" in kinds, KEY)
        assert [event.kind for event in kinds[-2:]] == [
            "DebounceElapsed",
            "DebouncedStartSent",
        ]
        assert not await family.events("a")
        assert not await family.events("b")
        await start(family, "d")
        advance(family, 5_000)
        await started(family, "d")
        await family.verify()


async def test_an_endless_burst_starts_at_its_bound() -> None:
    async with Family(W, clock=ManualClock(NOW)) as family:
        events: list[Any] = []
        for number in range(4):
            events = await start(family, f"i{number}", max_ms=12_000)
            advance(family, 3_500)
        assert [event.body.due_at - NOW for event in events] == [
            5_000,
            8_500,
            12_000,
            12_000,
        ]
        await started(family, "i3")
        await family.verify()


async def test_a_start_that_comes_twice_waits_once() -> None:
    async with Family(W, clock=ManualClock(NOW)) as family:
        await start(family, "a", command_id="same")
        events = await start(family, "a", command_id="same")
        assert [event.kind for event in events] == [
            "StartDebounced",
            "CommandAcknowledged",
        ]
        advance(family, 5_000)
        assert (await started(family, "a")).command_id == "same"
        await start(family, "a", command_id="same")
        await family.verify()


async def test_what_cannot_start_is_refused() -> None:
    async with Family(W, clock=ManualClock(NOW)) as family:
        for wrong in (
            {"workflow": "nobody's"},
            {"quiet_ms": 0},
            {"max_ms": -1},
            {"start_id": KEY},
            {"start_id": ""},
            {"start_id": "$queue/w"},
        ):
            fields: dict[str, Any] = {"workflow": "w", "quiet_ms": 1, "input": 1}
            fields |= {"start_id": "a", **wrong}
            await family.command("DebounceStart", KEY, **fields)
        events = await family.until(
            lambda kinds: kinds.count("CommandRejected") == 6, KEY
        )
        codes = [event.body.code for event in events]
        assert codes == ["unknown_workflow", *["bad_request"] * 5]
        await family.command(
            "DebounceStart", "i", workflow="w", quiet_ms=1, input=1, start_id="a"
        )
        await family.command("StartWorkflow", KEY, workflow="w", input=1)
        await family.until_kind("CommandRejected", "i")
        await family.until(lambda kinds: kinds.count("CommandRejected") == 7, KEY)
        await family.verify()


async def test_what_became_due_while_nobody_owned_it_starts_then() -> None:
    log = StoppingLog()
    async with Family(W, log=log, clock=ManualClock(NOW)) as family:
        await start(family, "a")
        await start(family, "b")
    async with Family(W, log=log, clock=ManualClock(NOW + 60_000)) as family:
        await started(family, "b")
        await family.verify()


async def run_burst(log: StoppingLog) -> Family:
    family = Family(W, log=log, clock=ManualClock(NOW))
    await family.start()
    for name in "abc":
        await family.command(
            "DebounceStart",
            KEY,
            start_id=name,
            workflow="w",
            input=name,
            quiet_ms=5_000,
        )
    return family


def is_stopped(family: Family, kinds: list[str]) -> bool:
    return family.log.has_stopped or kinds.count("StartDebounced") == 3


async def let_it_end(family: Family) -> None:
    await family.until(lambda kinds: kinds.count("StartDebounced") == 3, KEY)
    advance(family, 5_000)
    await started(family, "c")
    await family.until_kind("DebouncedStartSent", KEY)
    kinds = await family.kinds(KEY)
    assert kinds.count("DebounceElapsed") == kinds.count("DebouncedStartSent") == 1
    assert not await family.events("a")
    await family.verify()


@pytest.mark.parametrize("last", ["is lost", "lands unanswered"])
async def test_kills_behind_every_write_start_the_last_one_once(last: str) -> None:
    whole = await run_burst(StoppingLog())
    begun = whole.log.writes
    await let_it_end(whole)
    await whole.stop()
    assert whole.log.writes - begun > 5
    for writes in range(whole.log.writes - begun):
        log = StoppingLog()
        log.lands = last != "is lost"
        killed = await run_burst(log)
        log.stops_behind = log.writes + writes
        stopped = partial(is_stopped, killed)
        await killed.until(stopped, KEY)
        advance(killed, 5_000)
        await killed.until_stopped()
        await killed.stop()
        copy = await log.copy()
        async with Family(W, log=copy, clock=ManualClock(NOW)) as left:
            await let_it_end(left)

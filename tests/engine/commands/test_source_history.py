"""Forks on a live worker: what is read of the source, what waits, what comes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.engine.commands.source_history import read_source
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.engine.record_size import RECORD_OVERHEAD_BYTES
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import World, copied, decoded

if TYPE_CHECKING:
    from sayiir_es.log.port import Log


async def fork(world: World, at: int, new_id: str = "copy", **fields: object) -> Event:
    """Fork instance `i`; the first event that answers."""
    fields = {"source_instance_id": "i", "source_sequence": at} | fields
    offset = await world.command("ForkWorkflow", new_id, **fields)
    cause = f"command:0@{offset}"
    events = await world.until(
        lambda events: any(event.cause == cause for event in events), new_id
    )
    return next(event for event in events if event.cause == cause)


async def check(log: Log) -> None:
    """Nothing is wrong with what stands on a log."""
    found = [one async for one in LogVerification(log).violations()]
    assert not found, found[0]


@task
async def twice(value: int) -> int:
    return value * 2


@task(timeout="30s")
async def timed(value: int) -> int:
    return value + 1


async def test_a_fork_at_every_event_of_a_run_gives_what_it_gave() -> None:
    world = World()
    flow = Flow("w").then(twice).then(timed).wait_for_signal("go").then(len).build()
    async with world.worker(flow):
        await world.command("StartWorkflow", workflow="w", input=20)
        await world.command("SendSignal", signal="go", payload="yes")
        assert await world.output() == 3
        events = await world.events()
        received = next(e.sequence for e in events if e.kind == "SignalReceived")
        for event in events:
            name = f"copy-{event.sequence}"
            first = await fork(world, event.sequence, name)
            assert first.kind == "WorkflowForked"
            if event.sequence < received:
                await world.command("SendSignal", name, signal="go", payload="yes")
            assert await world.output(name) == 3
    await check(world.log)


async def test_a_crash_behind_any_decision_of_a_fork_changes_nothing() -> None:
    world = World()
    flow = Flow("w").then(twice).then(timed).then(twice).build()
    async with world.worker(flow):
        await world.command("StartWorkflow", workflow="w", input=20)
        assert await world.output() == 82
        await fork(world, 4)
        assert await world.output("copy") == 82
        records = [decoded(record) for record in await world.records()]
    first = next(n for n, e in enumerate(records) if e.kind == "WorkflowForked")
    ends = [
        number
        for number in range(first, len(records))
        if records[number].cause != records[number - 1].cause
    ]
    assert len(ends) > 3
    for end in ends:
        other = await world.cut(end)
        async with other.worker(flow):
            assert await other.output("copy") == 82
        await check(other.log)


async def test_a_fork_of_a_running_attempt_begins_it_afresh() -> None:
    world, gate = World(), asyncio.Event()
    begun: list[str] = []

    @task(timeout="30s")
    async def slow(value: int) -> int:
        begun.append("slow")
        await gate.wait()
        return value

    async with world.worker(Flow("w").then(slow).build()):
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.until_kind("DeadlineSet")
        await fork(world, 3)
        events = await world.until_kind("DeadlineSet", "copy", count=2)
        kinds = [event.kind for event in events]
        assert kinds[4:7] == ["AttemptWithdrawn", "DeadlineCleared", "DeadlineSet"]
        assert events[6].cause == "owed:3"
        gate.set()
        assert await world.output("copy") == await world.output("i") == 1
    assert begun == ["slow", "slow"]
    await check(world.log)


async def test_an_attempt_that_the_source_had_withdrawn_counts_in_the_fork() -> None:
    world, gate = World(), asyncio.Event()

    @task
    async def held(value: int) -> int:
        await gate.wait()
        return value

    async with world.worker(Flow("w").then(held).build()):
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.until_kind("PositionUpdated")
        await world.command(
            "RecordOutcome", run=1, path="held", attempt=1, result="withdrawn"
        )
        await world.until_kind("AttemptWithdrawn")
        gate.set()
        await fork(world, 3)
        assert await world.output("copy") == 1
        assert "AttemptRestarted" in await world.kinds("copy")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"source_sequence": 0}, "bad_request"),
        ({"source_sequence": -7}, "bad_request"),
        ({"source_instance_id": ""}, "bad_request"),
        ({"source_instance_id": "x" * 257}, "bad_request"),
        ({"source_instance_id": "nobody"}, "not_found"),
        ({"source_sequence": 99}, "not_found"),
        ({"instance_id": "i"}, "already_exists"),
        ({"source_instance_id": "signalled", "source_sequence": 1}, "not_found"),
    ],
)
async def test_what_cannot_be_forked_is_refused(
    fields: dict[str, object], code: str
) -> None:
    world = World()
    async with world.worker(Flow("w").then(twice).build()):
        await world.command("SendSignal", "signalled", signal="go", payload=1)
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.output()
        new_id = str(fields.pop("instance_id", "copy"))
        answer = await fork(world, 1, new_id, **fields)
    assert isinstance(answer.body, CommandRejected)
    assert (answer.body.command, answer.body.code) == ("ForkWorkflow", code)
    assert answer.body.message.startswith("expected ")
    await check(world.log)


async def test_a_second_fork_of_the_same_command_id_is_known() -> None:
    world = World()
    async with world.worker(Flow("w").then(twice).build()):
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.output()
        for number in range(300):  # the ring of ids is full of the source's
            await world.command("CancelWorkflow", command_id=f"c{number}")
        await world.until_kind("CommandRejected", count=300)
        at = len(await world.events())
        await fork(world, at, command_id="once")
        again = await fork(world, at, command_id="once")
        assert isinstance(again.body, CommandAcknowledged)
        assert (again.body.code, again.body.answered_by) == ("duplicate", 1)


async def test_a_history_that_is_too_large_is_refused_and_read_no_further() -> None:
    world = World()
    noise = "x" * 100_000
    async with world.worker(Flow("w").wait_for_signal("go").build()):
        await world.command("StartWorkflow", workflow="w", input=1)
        for _ in range(8):
            await world.command("SendSignal", signal="other", payload=noise)
        await world.until_kind("SignalReceived", count=8)
        assert (await fork(world, 4, "small")).kind == "WorkflowForked"
        answer = await fork(world, 10)
        assert isinstance(answer.body, CommandRejected)
        assert answer.body.code == "too_large"
        read = await read_source(
            world.log,
            ForkWorkflow(
                instance_id="copy",
                command_id="c",
                source_instance_id="i",
                source_sequence=10,
            ),
            DEFAULT_LIMITS.copied_bytes,
        )
        assert len(read.events) == 8


async def test_no_fork_takes_more_of_a_batch_than_was_said() -> None:
    world = World()
    flow = Flow("w").then(timed).wait_for_signal("go").build()
    async with world.worker(flow):
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.until_kind("SignalAwaited")
        for at in (1, 2, 3, 4, 5):
            new_id = "n" * 250 + str(at)
            read = await read_source(
                world.log,
                ForkWorkflow(
                    instance_id=new_id,
                    command_id="c",
                    source_instance_id="i",
                    source_sequence=at,
                ),
                DEFAULT_LIMITS.copied_bytes,
            )
            first = await fork(world, at, new_id)
            events = [e for e in await world.events(new_id) if e.cause == first.cause]
            taken = [to_record(e) for e in events[1 : at + 1]]
            taken += [
                to_record(event)
                for event in events[at + 1 :]
                if event.kind in ("AttemptWithdrawn", "DeadlineCleared")
            ]
            assert read.size >= sum(
                RECORD_OVERHEAD_BYTES + len(one.key or b"") + len(one.value or b"")
                for one in taken
            )


async def test_a_damaged_history_refuses_its_fork_and_stops_nothing() -> None:
    world = World()
    flow = Flow("w").then(twice).build()
    async with world.worker(flow):
        await world.command("StartWorkflow", workflow="w", input=1)
        await world.output()
        records = await world.records()
    damaged = MemoryLog()
    await damaged.open(create=True)
    appender = await damaged.appender(0)
    for record in records:
        changed: NewRecord = copied(record)
        if record.key == b"i":
            changed = replace(changed, value=(record.value or b"")[:-1])
        await appender.append([changed])
    asked = ForkWorkflow(
        instance_id="copy",
        command_id="c",
        source_instance_id="i",
        source_sequence=1,
    )
    read = await read_source(damaged, asked, DEFAULT_LIMITS.copied_bytes)
    assert read.events == ()
    assert read.unreadable.startswith("expected ")


async def test_what_no_claim_in_force_wrote_is_not_copied() -> None:
    world = World()
    async with world.worker(Flow("w").wait_for_signal("go").build()):
        await world.command("StartWorkflow", workflow="w", input=1)
        events = await world.until_kind("SignalAwaited")
        claim = events[0].claim
    async with world.worker(Flow("w").wait_for_signal("go").build()):
        stranger = replace(events[1], sequence=3, claim=claim)
        appender = await world.log.appender(0)
        await appender.append([to_record(stranger)])
        await world.command("SendSignal", signal="go", payload="real")
        assert await world.output() == "real"
        await fork(world, 3)
        copies = await world.events("copy")
    assert copies[3].kind == "SignalReceived"
    assert json.loads(getattr(copies[3].body, "payload", b"")) == "real"
    assert await world.log.end_offset(Topic.EVENTS, 0) > len(copies)

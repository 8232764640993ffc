"""Forks on a live worker: what is read of the source, and what the fork does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.engine.commands.source_history import read_source
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.batch_size import batch_bytes
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import EngineHarness, copy_of, event_of

if TYPE_CHECKING:
    from sayiir_es.log.memory.topics import MemoryTopics
    from sayiir_es.log.port import Chunk, Log


async def fork(
    harness: EngineHarness, sequence: int, new_id: str = "copy", **fields: object
) -> Event:
    """Fork instance `i`; the first event that answers."""
    fields = {"source_instance_id": "i", "source_sequence": sequence} | fields
    offset = await harness.command("ForkWorkflow", new_id, **fields)
    cause = f"command:0@{offset}"
    events = await harness.until(
        lambda events: any(event.cause == cause for event in events), new_id
    )
    return next(event for event in events if event.cause == cause)


async def check(log: Log) -> None:
    """Check that a log holds to every rule of `audit verify`."""
    violations = [violation async for violation in LogVerification(log).violations()]
    assert not violations, violations[0]


@task
async def twice(value: int) -> int:
    return value * 2


@task(timeout="30s")
async def timed(value: int) -> int:
    return value + 1


async def test_a_fork_at_every_event_of_a_run_gives_what_it_gave() -> None:
    harness = EngineHarness()
    flow = Flow("w").then(twice).then(timed).wait_for_signal("go").then(len).build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="w", input=20)
        await harness.command("SendSignal", signal="go", payload="yes")
        assert await harness.output() == 3
        events = await harness.events()
        received = next(e.sequence for e in events if e.kind == "SignalReceived")
        for event in events:
            name = f"copy-{event.sequence}"
            first = await fork(harness, event.sequence, name)
            assert first.kind == "WorkflowForked"
            if event.sequence < received:
                await harness.command("SendSignal", name, signal="go", payload="yes")
            assert await harness.output(name) == 3
    await check(harness.log)


async def test_a_crash_behind_any_decision_of_a_fork_changes_nothing() -> None:
    harness = EngineHarness()
    flow = Flow("w").then(twice).then(timed).then(twice).build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="w", input=20)
        assert await harness.output() == 82
        await fork(harness, 4)
        assert await harness.output("copy") == 82
        records = [event_of(record) for record in await harness.records()]
    first = next(n for n, e in enumerate(records) if e.kind == "CommandDeferred")
    ends = [
        number
        for number in range(first, len(records))
        if records[number].cause != records[number - 1].cause
    ]
    assert len(ends) > 3
    for end in ends:
        copy = await harness.copy_of_first(end)
        async with copy.worker(flow):
            assert await copy.output("copy") == 82
        await check(copy.log)


async def test_a_fork_of_a_running_attempt_begins_it_afresh() -> None:
    harness, gate = EngineHarness(), asyncio.Event()
    started: list[str] = []

    @task(timeout="30s")
    async def slow(value: int) -> int:
        started.append("slow")
        await gate.wait()
        return value

    async with harness.worker(Flow("w").then(slow).build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("DeadlineSet")
        await fork(harness, 3)
        events = await harness.until_kind("DeadlineSet", "copy", count=2)
        kinds = [event.kind for event in events]
        assert kinds[4:7] == ["AttemptWithdrawn", "DeadlineCleared", "DeadlineSet"]
        assert events[6].cause == "owed:3"
        gate.set()
        assert await harness.output("copy") == await harness.output("i") == 1
    assert started == ["slow", "slow"]
    await check(harness.log)


async def test_an_attempt_that_the_source_had_withdrawn_counts_in_the_fork() -> None:
    harness, interrupts = EngineHarness(propagate_interrupts=True), [SystemExit()]

    @task
    def held(value: int) -> int:
        if interrupts:
            raise interrupts.pop()
        return value

    async with harness.worker(Flow("w").then(held).build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("AttemptWithdrawn")
        await fork(harness, 3)
        assert await harness.output("copy") == 1
        assert "AttemptRestarted" in await harness.kinds("copy")


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
    harness = EngineHarness()
    async with harness.worker(Flow("w").then(twice).build()):
        await harness.command("SendSignal", "signalled", signal="go", payload=1)
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        new_id = str(fields.pop("instance_id", "copy"))
        rejection = await fork(harness, 1, new_id, **fields)
    assert isinstance(rejection.body, CommandRejected)
    assert (rejection.body.command, rejection.body.code) == ("ForkWorkflow", code)
    assert rejection.body.message.startswith("expected ")
    await check(harness.log)


async def test_a_second_fork_of_the_same_command_id_is_known() -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("w").then(twice).build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        for number in range(300):  # the remembered command ids are all of the source
            await harness.command("CancelWorkflow", command_id=f"c{number}")
        await harness.until_kind("CommandRejected", count=300)
        at = len(await harness.events())
        await fork(harness, at, command_id="once")
        again = await fork(harness, at, command_id="once")
        assert isinstance(again.body, CommandAcknowledged)
        assert (again.body.code, again.body.answered_by) == ("duplicate", 1)


async def test_a_history_that_is_too_large_is_refused_and_read_no_further() -> None:
    harness = EngineHarness()
    noise = "x" * 100_000
    async with harness.worker(Flow("w").wait_for_signal("go").build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        for _ in range(8):
            await harness.command("SendSignal", signal="other", payload=noise)
        await harness.until_kind("SignalReceived", count=8)
        assert (await fork(harness, 4, "small")).kind == "WorkflowForked"
        rejection = await fork(harness, 10)
        assert isinstance(rejection.body, CommandRejected)
        assert rejection.body.code == "too_large"
        history = await read_source(
            harness.log,
            ForkWorkflow(
                instance_id="copy",
                command_id="c",
                source_instance_id="i",
                source_sequence=10,
            ),
            DEFAULT_LIMITS.copied_bytes,
        )
        assert len(history.events) == 8


async def test_no_fork_takes_more_of_a_batch_than_was_said() -> None:
    harness = EngineHarness()
    flow = Flow("w").then(timed).wait_for_signal("go").build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("SignalAwaited")
        for at in (1, 2, 3, 4, 5):
            new_id = "n" * 250 + str(at)
            history = await read_source(
                harness.log,
                ForkWorkflow(
                    instance_id=new_id,
                    command_id="c",
                    source_instance_id="i",
                    source_sequence=at,
                ),
                DEFAULT_LIMITS.copied_bytes,
            )
            first = await fork(harness, at, new_id)
            events = [e for e in await harness.events(new_id) if e.cause == first.cause]
            copied_records = [to_record(e) for e in events[1 : at + 1]]
            copied_records += [
                to_record(event)
                for event in events[at + 1 :]
                if event.kind in ("AttemptWithdrawn", "DeadlineCleared")
            ]
            assert history.size >= batch_bytes(copied_records)


class StutteringReader(MemoryReader):
    """A reader that gives one record and then fails."""

    def __init__(
        self, topics: MemoryTopics, topic: Topic, partition: int, at: int
    ) -> None:
        super().__init__(topics, topic, partition, at)
        self._first = at

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """The first record; behind it the log does not answer."""
        chunk = await super().read(max_wait_s=max_wait_s)
        if chunk is None or chunk.start != self._first:
            raise LogUnavailableError("expected an answer, but silence")
        self._first = -1
        return replace(chunk, end=chunk.start + 1, records=chunk.records[:1])


class StutteringLog(MemoryLog):
    """A log whose readers fail, each behind its first record."""

    offsets: list[int]

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that fails soon."""
        self.offsets.append(offset)
        return StutteringReader(self._topics, topic, partition, offset)


async def test_a_reading_goes_on_where_the_log_was_silent() -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("w").then(twice).build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        records = await harness.records()
    log = StutteringLog()
    log.offsets = []
    await log.open(create=True)
    appender = await log.appender(0)
    for record in records:
        await appender.append([copy_of(record)])
    command = ForkWorkflow(
        instance_id="copy", command_id="c", source_instance_id="i", source_sequence=9
    )
    history = await read_source(log, command, DEFAULT_LIMITS.copied_bytes)
    assert [event.sequence for event in history.events] == [1, 2, 3, 4]
    assert log.offsets == list(range(len(records)))


async def test_a_damaged_history_refuses_its_fork_and_stops_nothing() -> None:
    harness = EngineHarness()
    flow = Flow("w").then(twice).build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        records = await harness.records()
    damaged = MemoryLog()
    await damaged.open(create=True)
    appender = await damaged.appender(0)
    for record in records:
        changed: NewRecord = copy_of(record)
        if record.key == b"i":
            changed = replace(changed, value=(record.value or b"")[:-1])
        await appender.append([changed])
    command = ForkWorkflow(
        instance_id="copy",
        command_id="c",
        source_instance_id="i",
        source_sequence=1,
    )
    history = await read_source(damaged, command, DEFAULT_LIMITS.copied_bytes)
    assert history.events == ()
    assert history.unreadable.startswith("expected ")


async def test_what_no_claim_in_force_wrote_is_not_copied() -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("w").wait_for_signal("go").build()):
        await harness.command("StartWorkflow", workflow="w", input=1)
        events = await harness.until_kind("SignalAwaited")
        claim = events[0].claim
    async with harness.worker(Flow("w").wait_for_signal("go").build()):
        late_event = replace(events[1], sequence=3, claim=claim)
        appender = await harness.log.appender(0)
        await appender.append([to_record(late_event)])
        await harness.command("SendSignal", signal="go", payload="real")
        assert await harness.output() == "real"
        await fork(harness, 3)
        copies = await harness.events("copy")
    assert copies[3].kind == "SignalReceived"
    assert json.loads(getattr(copies[3].body, "payload", b"")) == "real"
    assert await harness.log.end_offset(Topic.EVENTS, 0) > len(copies)

"""Runs of the steps of a scenario: whole, and with a crash behind a decision.

Theory of operation. What one decision holds is one batch, or a part of one, so that no
crash splits it: `docs/events.md` says which events belong together. The engine knows
where a decision may be cut, and a limit of one event makes it cut there each time. So a
run under that limit has each border at which a log can end, and no other.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceSent,
)
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    RecordChildEnd,
    ReturnPermit,
    StartWorkflow,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.permit_events import PermitReleased, limit_id
from sayiir_es.core.model.position import parse_command_cause
from sayiir_es.log.port import Topic
from sayiir_es.testing.harness import Harness
from sayiir_es.testing.steps import CommandStep, CrashStep, StopStep
from sayiir_es.testing.virtual_time import EPOCH_MS, VirtualLoop
from sayiir_es.wire.commands import decode_command
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.log.port import Record
    from sayiir_es.testing.result import Result
    from sayiir_es.testing.steps import Step
    from sayiir_es.wire.payload_codec import Payloads

T = TypeVar("T")

RECOVERY_MS = 1000
"""How much later, in virtual time, a step may end that goes on after a crash."""

CUT_EVERYWHERE = replace(DEFAULT_LIMITS, decision_events=1)
"""Lets an owner cut its decisions wherever it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpan:
    """The events before a step, where it began, and the time at which it was over."""

    events_before: int
    was_standing: bool
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRun:
    """A run of all steps of a scenario.

    `end` is what `result` became when all that still ran had ended, where that was
    waited for. `spans` are those of its steps, empty behind a crash.
    """

    result: Result
    end: Result
    records: list[Record]
    commands: list[Record]
    spans: tuple[StepSpan, ...] = ()

    @property
    def cuts(self) -> list[int]:
        """How many records there are up to each decision's end, behind the start."""
        causes = [
            (event.instance_id, event.cause)
            for event in (decode_event(record.value or b"") for record in self.records)
        ]
        borders = enumerate(pairwise(causes), 1)
        ends = [count for count, (one, other) in borders if one != other]
        first = self.spans[0].events_before
        return [count for count in (*ends, len(causes)) if count > first]


async def run_steps(
    workflow: Workflow,
    steps: Sequence[Step],
    *,
    limits: Limits = DEFAULT_LIMITS,
    to_idle: bool = False,
    payloads: Payloads = JSON_PAYLOADS,
) -> ScenarioRun:
    """Run all steps; with `to_idle` what still runs behind the last one ends, too.

    Raises:
        AssertionError: if it does not come to where it is to stop.
    """
    harness = Harness(
        workflow, _virtual_loop(), EPOCH_MS, limits=limits, payloads=payloads
    )
    spans: list[StepSpan] = []
    async with aclosing(harness):
        await harness.open()
        await harness.start_owner()
        await harness.run_to_idle()
        for step, stop in zip(steps, _stops_of(steps), strict=True):
            events_before, was_standing = len(harness.events), harness.is_standing
            await harness.run_step(step, stop=stop)
            spans.append(
                StepSpan(
                    events_before=events_before,
                    was_standing=was_standing,
                    end_ms=harness.clock.now_ms(),
                )
            )
        return await _ended(harness, tuple(spans), to_idle=to_idle)


async def recover(
    workflow: Workflow,
    steps: Sequence[Step],
    full_run: ScenarioRun,
    count: int,
    *,
    payloads: Payloads = JSON_PAYLOADS,
) -> ScenarioRun:
    """Run on behind a crash in which all but the first `count` records were lost."""
    begun = sum(span.events_before < count for span in full_run.spans)
    sent = sum(isinstance(step, CommandStep) for step in steps[:begun])
    commands = commands_behind(full_run, count, sent)
    at_ms = decode_event(full_run.records[count - 1].value or b"").at
    harness = Harness(workflow, _virtual_loop(), at_ms, payloads=payloads)
    stops = _stops_of(steps)
    step, span = steps[begun - 1], full_run.spans[begun - 1]
    if isinstance(step, CommandStep | StopStep):
        step = CrashStep()  # its command stands on the log
    async with aclosing(harness):
        await harness.open(full_run.records[:count], commands)
        # The crash was in this step, which goes on. The recovery took some time, too.
        harness.is_standing = span.was_standing
        until_ms = span.end_ms + RECOVERY_MS
        await harness.run_step(step, stop=stops[begun - 1], until_ms=until_ms)
        for step, stop in zip(steps[begun:], stops[begun:], strict=True):
            await harness.run_step(step, stop=stop)
        return await _ended(harness, (), to_idle=True)


def commands_behind(full_run: ScenarioRun, count: int, sent: int) -> list[Record]:
    """The commands that stand on the log behind the first `count` events.

    Those that were decided, of the scenario's own the first `sent`, and those of owners
    of which the events say that they have landed. What else owners wrote to one another
    was lost with its owner, at the worst.
    """
    events = [decode_event(one.value or b"") for one in full_run.records[:count]]
    positions = [parse_command_cause(event.cause) for event in events]
    decided = max((place.offset + 1 for place in positions if place), default=0)
    landed = set(filter(None, (_landed(event.body) for event in events)))
    kept: list[Record] = []
    for record in full_run.commands:
        is_own = (record.value or b"")[:1] == b"{"  # owners write Avro
        sent -= is_own
        if record.offset < decided or (is_own and sent >= 0):
            kept.append(record)
        elif not is_own:
            command = decode_command(
                key=record.key, value=record.value, partition=0, offset=record.offset
            )
            if _sent_by(command) in landed:
                kept.append(record)
    return kept


def _landed(body: Body) -> tuple[object, ...] | None:
    """Which command of an owner is on the log, as an event says it; None: of none."""
    match body:
        case PermitReleased():
            return ReturnPermit, limit_id(body.key), body.permit
        case ChildInstanceSent():
            return StartWorkflow, body.child_id
        case ChildCancelSent():
            return CancelWorkflow, body.child_id
        case ChildEndReported():
            return RecordChildEnd, body.parent, body.parent_path, body.child_run
        case _:
            return None


def _sent_by(command: Command) -> tuple[object, ...]:
    """The same, as the command says it."""
    match command:
        case ReturnPermit():
            return ReturnPermit, command.instance_id, command.permit
        case RecordChildEnd():
            place = command.instance_id, command.path
            return RecordChildEnd, *place, command.child_run
        case _:
            return type(command), command.instance_id


def run_on_virtual_loop(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end on an event loop of virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def _ended(
    harness: Harness, spans: tuple[StepSpan, ...], *, to_idle: bool
) -> ScenarioRun:
    result = harness.get_result()
    if to_idle:
        await harness.run_to_idle()
    end = harness.get_result()
    return ScenarioRun(
        result=result,
        end=end,
        records=await harness.read_records(),
        commands=await harness.read_records(Topic.COMMANDS),
        spans=spans,
    )


def _stops_of(steps: Sequence[Step]) -> list[StopStep | None]:
    """Where each step is to stop: at the one behind it, if that is a stop."""
    stops = [
        after if isinstance(after, StopStep) else None for _, after in pairwise(steps)
    ]
    return [*stops, None]


def _virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop

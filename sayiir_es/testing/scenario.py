"""Scenarios: a workflow, commands and time; run once, or with crashes anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.duration import duration_ms
from sayiir_es.testing.harness import Harness
from sayiir_es.testing.steps import CommandStep, Step, TimeStep, ToTheEndStep
from sayiir_es.testing.virtual_time import EPOCH_MS, VirtualLoop
from sayiir_es.wire.payload import decode_payload, encode_payload

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.duration import Duration
    from sayiir_es.log.port import Record
    from sayiir_es.testing.result import Result


T = TypeVar("T")

RECOVERY_MS = 1000
"""How much later, in virtual time, a step may end that goes on after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpan:
    """The events before a step, and the time at which it was over."""

    events_before: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRun:
    """A run of all steps of a scenario."""

    result: Result
    records: list[Record]
    spans: list[StepSpan]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A workflow and the steps of a test, in order; each method adds a step.

    The task functions run, all on one event loop; sync ones are called there, too.
    Time is virtual: a backoff ends at once, a delay when the scenario lets time pass.
    """

    workflow: Workflow
    steps: tuple[Step, ...]

    def signal(
        self, name: str, payload: object = None, *, signal_id: str | None = None
    ) -> Scenario:
        """A signal is sent."""
        command: dict[str, object] = {
            "command": "SendSignal",
            "signal": name,
            "payload": _plain(payload),
        }
        if signal_id is not None:
            command["signal_id"] = signal_id
        return self._then(CommandStep(command=command))

    def after(self, duration: Duration) -> Scenario:
        """Time passes: seconds, a text such as "30s", "5m" or "24h", or a timedelta.

        Raises:
            ValueError: if it is none of these, negative or not finite.
        """
        return self._then(TimeStep(ms=duration_ms(duration, what="duration")))

    def to_the_end(self) -> Scenario:
        """Time passes until it has ended, or waits for a signal or a command."""
        return self._then(ToTheEndStep())

    def cancel(self, reason: str | None = None) -> Scenario:
        """The instance is cancelled."""
        return self._then(
            CommandStep(command={"command": "CancelWorkflow", "reason": reason})
        )

    def pause(self, reason: str | None = None) -> Scenario:
        """The instance is paused."""
        return self._then(
            CommandStep(command={"command": "PauseWorkflow", "reason": reason})
        )

    def unpause(self) -> Scenario:
        """The paused instance may go on."""
        return self._then(CommandStep(command={"command": "UnpauseWorkflow"}))

    def retry(self) -> Scenario:
        """The failed instance is retried."""
        return self._then(CommandStep(command={"command": "RetryWorkflow"}))

    @cached_property
    def result(self) -> Result:
        """The state after all steps; they run once."""
        return self._run.result

    def survives_crashes(self) -> int:
        """Run it again with a crash after each event; the number of crashes.

        Each time the log is cut after one event, all else is lost, and another owner
        goes on with the rest of the scenario. The outcome must be the same. An attempt
        that ran when the owner died runs again, as it does in production.

        Raises:
            AssertionError: naming the event after which the outcome was another.
        """
        full_run = self._run
        # The start and what it opens are one decision, which no crash can split.
        first = full_run.spans[0].events_before + 2
        for count in range(first, len(full_run.records) + 1):
            result = run_on_virtual_loop(self._recover(full_run, count))
            if result.outcome != full_run.result.outcome:
                event = full_run.result.events[count - first + 1]
                raise AssertionError(
                    f"crash behind event {event.sequence} ({event.kind}): expected "
                    f"{full_run.result.outcome!r}, but {result.outcome!r}"
                )
        return len(full_run.records) + 1 - first

    # --- inside -----------------------------------------------------------------------

    def _then(self, step: Step) -> Scenario:
        return replace(self, steps=(*self.steps, step))

    @cached_property
    def _run(self) -> ScenarioRun:
        return run_on_virtual_loop(self._run_all())

    async def _run_all(self) -> ScenarioRun:
        harness = Harness(self.workflow, _virtual_loop(), EPOCH_MS)
        await harness.open()
        spans: list[StepSpan] = []
        for step in self.steps:
            await harness.run_until_idle()
            events_before = len(harness.events)
            await harness.run_step(step)
            end_ms = harness.clock.now_ms()
            spans.append(StepSpan(events_before=events_before, end_ms=end_ms))
        result = harness.get_result()
        records = await harness.read_records()
        await harness.close()
        return ScenarioRun(result=result, records=records, spans=spans)

    async def _recover(self, full_run: ScenarioRun, count: int) -> Result:
        """The result if all records but the first `count` were lost in a crash."""
        begun = sum(span.events_before < count for span in full_run.spans)
        commands = [
            step for step in self.steps[:begun] if isinstance(step, CommandStep)
        ]
        at_ms = full_run.records[count - 1].timestamp_ms
        harness = Harness(self.workflow, _virtual_loop(), at_ms)
        await harness.open(full_run.records[:count], commands)
        if begun and not isinstance(self.steps[begun - 1], CommandStep):
            # The crash was in a step that lets time pass: this step goes on. The
            # recovery took some time, too.
            until_ms = full_run.spans[begun - 1].end_ms + RECOVERY_MS
            await harness.run_step(self.steps[begun - 1], until_ms=until_ms)
        for step in self.steps[begun:]:
            await harness.run_step(step)
        await harness.run_until_idle()
        result = harness.get_result()
        await harness.close()
        return result


def given(workflow: Workflow, value: object = None) -> Scenario:
    """A scenario that begins with the start of a workflow.

    Raises:
        EncodeError: if the input has no JSON.
    """
    start = CommandStep(
        command={
            "command": "StartWorkflow",
            "workflow": workflow.workflow_id,
            "definition_hash": workflow.definition_hash,
            "input": _plain(value),
        }
    )
    return Scenario(workflow=workflow, steps=(start,))


def _plain(value: object) -> object:
    """The value as JSON data, as a client would send it."""
    return decode_payload(encode_payload(value))


def _virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def run_on_virtual_loop(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end on an event loop of virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()

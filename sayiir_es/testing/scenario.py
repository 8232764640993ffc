"""Scenarios: a workflow and what happens to it, played, and crashed anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.duration import duration_ms
from sayiir_es.testing.harness import Harness
from sayiir_es.testing.steps import Finished, Passed, Step, Told
from sayiir_es.testing.virtual_time import EPOCH_MS, VirtualLoop
from sayiir_es.wire.payload import decode_payload, encode_payload

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.duration import Duration
    from sayiir_es.log.port import Record
    from sayiir_es.testing.result import Result


T = TypeVar("T")

MOMENT_MS = 1000
"""How much later, in virtual time, things may happen that go on after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where the log stood when a step began, and when the step was over."""

    events: int
    over_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario that was played to its end."""

    result: Result
    records: list[Record]
    marks: list[Mark]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A workflow and what happens to it, in order; each method adds a step.

    Task functions really run, all on one event loop; sync ones are called there, too.
    Time is virtual: a backoff ends at once, a delay when the scenario lets time pass.
    """

    workflow: Workflow
    steps: tuple[Step, ...]

    def signal(
        self, name: str, payload: object = None, *, signal_id: str | None = None
    ) -> Scenario:
        """Somebody sends a signal."""
        told: dict[str, object] = {
            "command": "SendSignal",
            "signal": name,
            "payload": _plain(payload),
        }
        if signal_id is not None:
            told["signal_id"] = signal_id
        return self._then(Told(command=told))

    def after(self, duration: Duration) -> Scenario:
        """Time passes: seconds, a text such as "30s", "5m" or "24h", or a timedelta.

        Raises:
            ValueError: if it is none of these, negative or not finite.
        """
        return self._then(Passed(ms=duration_ms(duration, what="duration")))

    def to_the_end(self) -> Scenario:
        """Time passes until it has ended, or waits for what no time brings."""
        return self._then(Finished())

    def cancel(self, reason: str | None = None) -> Scenario:
        """Somebody cancels it."""
        return self._then(Told(command={"command": "CancelWorkflow", "reason": reason}))

    def pause(self, reason: str | None = None) -> Scenario:
        """Somebody pauses it."""
        return self._then(Told(command={"command": "PauseWorkflow", "reason": reason}))

    def unpause(self) -> Scenario:
        """Somebody lets it go on."""
        return self._then(Told(command={"command": "UnpauseWorkflow"}))

    def retry(self) -> Scenario:
        """Somebody lets it go on after it has failed."""
        return self._then(Told(command={"command": "RetryWorkflow"}))

    @cached_property
    def result(self) -> Result:
        """Where it stands after all steps; played once."""
        return self._played.result

    def survives_crashes(self) -> int:
        """Play it again with a crash behind every event; how many that were.

        Each time the log is cut behind one event, all else is lost, and another owner
        goes on with what is left of the scenario. The end must be the same. What ran
        when the owner died runs again, as it does in production.

        Raises:
            AssertionError: naming the event behind which the end was another.
        """
        whole = self._played
        # The start and what it opens are one decision: nothing comes between.
        first = whole.marks[0].events + 2
        for count in range(first, len(whole.records) + 1):
            again = _run(self._go_on(whole, count))
            if again.outcome != whole.result.outcome:
                event = whole.result.events[count - first + 1]
                raise AssertionError(
                    f"crash behind event {event.sequence} ({event.kind}): expected "
                    f"{whole.result.outcome!r}, but {again.outcome!r}"
                )
        return len(whole.records) + 1 - first

    # --- inside -----------------------------------------------------------------------

    def _then(self, step: Step) -> Scenario:
        return replace(self, steps=(*self.steps, step))

    @cached_property
    def _played(self) -> Played:
        return _run(self._play())

    async def _play(self) -> Played:
        stage = Harness(self.workflow, _loop(), EPOCH_MS)
        await stage.open()
        marks: list[Mark] = []
        for step in self.steps:
            await stage.rest()
            began = len(stage.events)
            await stage.do(step)
            marks.append(Mark(events=began, over_ms=stage.clock.now_ms()))
        result = stage.result()
        records = await stage.records()
        await stage.close()
        return Played(result=result, records=records, marks=marks)

    async def _go_on(self, whole: Played, count: int) -> Result:
        """What comes of it if all but the first `count` records were lost."""
        begun = sum(mark.events < count for mark in whole.marks)
        told = [step for step in self.steps[:begun] if isinstance(step, Told)]
        at_ms = whole.records[count - 1].timestamp_ms
        stage = Harness(self.workflow, _loop(), at_ms)
        await stage.open(whole.records[:count], told)
        if begun and not isinstance(self.steps[begun - 1], Told):
            # Time was passing: it goes on to pass. Going on took a moment, too.
            over_ms = whole.marks[begun - 1].over_ms + MOMENT_MS
            await stage.do(self.steps[begun - 1], until_ms=over_ms)
        for step in self.steps[begun:]:
            await stage.do(step)
        await stage.rest()
        result = stage.result()
        await stage.close()
        return result


def given(workflow: Workflow, value: object = None) -> Scenario:
    """A scenario that begins with the start of a workflow.

    Raises:
        EncodeError: if the input has no JSON.
    """
    start = Told(
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


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def _run(play: Coroutine[object, object, T]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(play)
    finally:
        loop.close()

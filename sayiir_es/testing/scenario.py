"""Scenarios: a workflow, commands and time; run once, or with crashes anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.resources import bind_resources
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.testing.runs import (
    CUT_EVERYWHERE,
    ScenarioRun,
    recover,
    run_on_virtual_loop,
    run_steps,
)
from sayiir_es.testing.steps import (
    CommandStep,
    CrashStep,
    Step,
    StopStep,
    TimeStep,
    ToTheEndStep,
)
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.payload import decode_payload
from sayiir_es.wire.payload_codec import JSON_PAYLOADS, Payloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.duration import Duration
    from sayiir_es.testing.result import Result
    from sayiir_es.wire.payload_codec import Codecs


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A workflow and the steps of a test, in order; each method adds a step.

    The task functions run, all on one event loop; sync ones are called there, too.
    Time is virtual: a backoff ends at once, a delay when the scenario lets time pass.
    """

    workflow: Workflow
    steps: tuple[Step, ...]
    payloads: Payloads = JSON_PAYLOADS

    def signal(
        self, name: str, payload: object = None, *, signal_id: str | None = None
    ) -> Scenario:
        """A signal is sent."""
        command: dict[str, object] = {
            "command": "SendSignal",
            "signal": name,
            "payload": _plain(payload, self.payloads),
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

    def until_running(self, task_id: str, *, attempt: int | None = None) -> Scenario:
        """The step before goes only so far: to where a task's function is called.

        The next step begins there. A command is decided while the attempt runs, and
        then the function begins.

        Args:
            task_id: The task's id; of a key function that of its route.
            attempt: Which one, from 1 on; any when left out.

        Raises:
            ValueError: if the workflow has no such task.
        """
        step = StopStep(task_id=task_id, attempt=attempt, state="running")
        return self._then_stop(step)

    def until_backoff(self, task_id: str, *, attempt: int | None = None) -> Scenario:
        """The step before goes only so far: an attempt failed, and the next is to come.

        Args:
            task_id: The task's id; of a key function that of its route.
            attempt: Which one failed, from 1 on; any when left out.

        Raises:
            ValueError: if the workflow has no such task.
        """
        step = StopStep(task_id=task_id, attempt=attempt, state="backoff")
        return self._then_stop(step)

    def crash(self) -> Scenario:
        """The worker dies, with all that it runs, and another one goes on."""
        return self._then(CrashStep())

    @cached_property
    def result(self) -> Result:
        """The state after all steps; they run once.

        Raises:
            AssertionError: if it does not come to where it is to stop.
        """
        return self._run.result

    def survives_crashes(self) -> int:
        """Run it again with a crash behind every batch of events; the number of them.

        The events are written one by one, as far as the engine lets decisions be cut.
        Each time the log ends behind one of them, all else is lost, and another owner
        goes on with the rest of the scenario. The outcome must be the same. An attempt
        that ran when the owner died runs again, as it does in production.

        Raises:
            AssertionError: naming the event after which the outcome was another.
        """
        workflow, steps, payloads = self.workflow, self.steps, self.payloads
        plain_run = self._run
        full_run = run_on_virtual_loop(
            run_steps(
                workflow, steps, limits=CUT_EVERYWHERE, to_idle=True, payloads=payloads
            )
        )
        is_whole = not self._ends_standing
        expected = (plain_run if is_whole else full_run).end.outcome
        for count in full_run.cuts:
            again = run_on_virtual_loop(
                recover(workflow, steps, full_run, count, payloads=payloads)
            )
            if again.end.outcome != expected:
                event = decode_event(full_run.records[count - 1].value or b"")
                raise AssertionError(
                    f"crash behind event {event.sequence} ({event.kind}): expected "
                    f"{expected!r}, but {again.end.outcome!r}"
                )
        return len(full_run.cuts)

    # --- inside -----------------------------------------------------------------------

    def _then(self, step: Step) -> Scenario:
        return replace(self, steps=(*self.steps, step))

    def _then_stop(self, step: StopStep) -> Scenario:
        ids = {
            place.node.id: None
            for place in self.workflow.graph.places.values()
            if isinstance(place.node, TaskNode | RouteNode)
        }
        if step.task_id not in ids:
            raise ValueError(
                f"expected a task of {self.workflow.workflow_id!r} "
                f"({', '.join(ids)}), but {step.task_id!r}"
            )
        return self._then(step)

    @property
    def _ends_standing(self) -> bool:
        """Whether it may stop in the middle behind its last step."""
        timeless = [step for step in self.steps if not isinstance(step, TimeStep)]
        return isinstance(timeless[-1], StopStep)

    @cached_property
    def _run(self) -> ScenarioRun:
        work = run_steps(self.workflow, self.steps, payloads=self.payloads)
        return run_on_virtual_loop(work)


def given(
    workflow: Workflow,
    value: object = None,
    *,
    resources: Mapping[str, object] | None = None,
    codec: Codecs | None = None,
) -> Scenario:
    """A scenario that begins with the start of a workflow.

    The input, and what signals carry, may be all that a client can send: models, too.
    `codec` is as of a backend.

    Raises:
        EncodeError: if the input has no JSON.
        ResourceError: if a task names what is not among `resources`.
    """
    workflow = bind_resources(workflow, resources, giver="resources=")
    payloads = JSON_PAYLOADS if codec is None else Payloads(codec)
    start = CommandStep(
        command={
            "command": "StartWorkflow",
            "workflow": workflow.workflow_id,
            "definition_hash": workflow.definition_hash,
            "input": _plain(value, payloads),
        }
    )
    return Scenario(workflow=workflow, steps=(start,), payloads=payloads)


def _plain(value: object, payloads: Payloads) -> object:
    """The value as JSON data, as a client would send it."""
    return decode_payload(payloads.encode(value))

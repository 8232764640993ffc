"""Any program that fails and is retried gives the same, also when crashed anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

from sayiir_es.core.graph.paths import BODY
from sayiir_es.core.model.commands import RetryWorkflow
from sayiir_es.core.model.events import TaskCompleted, TaskFailed
from sayiir_es.core.model.limits import Limits
from sayiir_es.core.model.position import parse_command_cause
from tests.core.nodes.test_constructs import ProgramRunner
from tests.core.programs import Program, output_of, programs

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.inputs import Outcome
    from tests.core.instance_runner import InstanceRunner

QUIET = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class Unlucky(ProgramRunner):
    """About every third task fails for good when it first runs."""

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """As the model says, but at first."""
        outcome = super().outcome(attempt)
        unlucky = hashlib.sha256(attempt.path.encode()).digest()[0] % 3 == 0
        if BODY in attempt.path.split("/"):  # it would be caught, and no retry asked
            unlucky = False
        failed_before = any(
            isinstance(event.body, TaskFailed) and event.body.path == attempt.path
            for event in self.events
        )
        if not unlucky or failed_before:
            return outcome
        return replace(
            outcome, result="failed", output=None, loop="none", retriable=False
        )


def go_on(runner: InstanceRunner, program: Program) -> None:
    """Run a program to its completion, with as many retries as that takes."""
    answered = {
        position.offset
        for event in runner.events
        if (position := parse_command_cause(event.cause)) is not None
    }
    for offset, command in enumerate(program.commands):
        if offset not in answered:
            retry(runner)  # a signal to a failed instance would be refused
            runner.commands = offset
            runner.command(command)
    runner.run()
    while retry(runner):
        runner.run()


def retry(runner: InstanceRunner) -> bool:
    """Ask for a retry if the run has failed; at an offset of its own."""
    if not runner.events or runner.header.phase != "failed":
        return False
    runner.commands = 1_000 + runner.header.run
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    return True


@QUIET
@given(programs())
def test_a_program_that_fails_here_and_there_gives_what_the_model_says(
    program: Program,
) -> None:
    runner = Unlucky(program.graph)
    go_on(runner, program)
    assert runner.header.phase == "completed"
    assert runner.output == output_of(program)
    assert runner.header.run == 1 + runner.kinds().count("WorkflowFailed")
    done = [e.body.path for e in runner.events if isinstance(e.body, TaskCompleted)]
    assert len(done) == len(set(done))


@settings(parent=QUIET, max_examples=20)
@given(programs(most=8))
def test_a_crash_behind_any_decision_changes_nothing(program: Program) -> None:
    whole = Unlucky(program.graph)
    go_on(whole, program)
    causes = [event.cause for event in whole.events]
    for end in (n for n in range(1, len(causes)) if causes[n] != causes[n - 1]):
        runner = Unlucky(program.graph, events=list(whole.events[:end]))
        runner.now = whole.events[end - 1].at
        runner.crash()
        go_on(runner, program)
        assert runner.output == whole.output, f"crash behind event {end}"


@settings(parent=QUIET, max_examples=40)
@given(programs())
def test_a_program_whose_decisions_are_cut_gives_the_same(program: Program) -> None:
    runner = Unlucky(program.graph, limits=Limits(decision_events=2))
    go_on(runner, program)
    assert runner.output == output_of(program)

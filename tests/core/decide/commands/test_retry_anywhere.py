"""Any program that fails and is retried gives the same, also when crashed anywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

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
        found = super().outcome(attempt)
        unlucky = hashlib.sha256(attempt.path.encode()).digest()[0] % 3 == 0
        failed_before = any(
            isinstance(event.body, TaskFailed) and event.body.path == attempt.path
            for event in self.events
        )
        if not unlucky or failed_before:
            return found
        return replace(
            found, result="failed", output=None, loop="none", retriable=False
        )


def go_on(game: InstanceRunner, program: Program) -> None:
    """Play a program to its completion, with as many retries as that takes."""
    answered = {
        position.offset
        for event in game.events
        if (position := parse_command_cause(event.cause)) is not None
    }
    for offset, command in enumerate(program.commands):
        if offset not in answered:
            retry(game)  # a signal to a failed instance would be refused
            game.commands = offset
            game.command(command)
    game.run()
    while retry(game):
        game.run()


def retry(game: InstanceRunner) -> bool:
    """Ask for a retry if the run has failed; at an offset of its own."""
    if not game.events or game.header.phase != "failed":
        return False
    game.commands = 1_000 + game.header.run
    game.command(RetryWorkflow(instance_id="i", command_id=""))
    return True


@QUIET
@given(programs())
def test_a_program_that_fails_here_and_there_gives_what_the_model_says(
    program: Program,
) -> None:
    game = Unlucky(program.graph)
    go_on(game, program)
    assert game.header.phase == "completed"
    assert game.output == output_of(program)
    assert game.header.run == 1 + game.kinds().count("WorkflowFailed")
    done = [e.body.path for e in game.events if isinstance(e.body, TaskCompleted)]
    assert len(done) == len(set(done))


@settings(parent=QUIET, max_examples=20)
@given(programs(most=8))
def test_a_crash_behind_any_decision_changes_nothing(program: Program) -> None:
    whole = Unlucky(program.graph)
    go_on(whole, program)
    causes = [event.cause for event in whole.events]
    for end in (n for n in range(1, len(causes)) if causes[n] != causes[n - 1]):
        game = Unlucky(program.graph, events=list(whole.events[:end]))
        game.now = whole.events[end - 1].at
        game.crash()
        go_on(game, program)
        assert game.output == whole.output, f"crash behind event {end}"


@settings(parent=QUIET, max_examples=40)
@given(programs())
def test_a_program_whose_decisions_are_cut_gives_the_same(program: Program) -> None:
    game = Unlucky(program.graph, limits=Limits(decision_events=2))
    go_on(game, program)
    assert game.output == output_of(program)

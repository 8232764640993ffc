"""Every construct, nested at random: as the model says, also when crashed anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import LoopNode, RouteNode, TaskNode
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.events import TaskCompleted
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.limits import Limits
from sayiir_es.core.model.position import parse_command_cause
from tests.core.instance_runner import InstanceRunner
from tests.core.programs import (
    BASES,
    FAILURE,
    Program,
    always_fails,
    digest,
    key_for,
    output_of,
    programs,
    turns,
)

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.events import Event, LoopMark

QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class ProgramRunner(InstanceRunner):
    """Runs programs: tasks as the model has them, failing once where they may retry."""

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """What the attempt ends with."""
        place = self.graph.place(attempt.path)
        assert place is not None
        node = place.node
        data = resolve(self.rows, self.graph, attempt.input)
        outcome = Outcome(
            instance_id="i",
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.attempt,
            result="completed",
        )
        if isinstance(node, RouteNode):
            return replace(outcome, output=b'"%s"' % key_for(node, data).encode())
        assert isinstance(node, TaskNode)
        if node.retry is not None and attempt.attempt == 1:
            return replace(outcome, result="failed", error_type="E", error="once")
        if always_fails(node):
            error_type, error = FAILURE
            return replace(
                outcome,
                result="failed",
                error_type=error_type,
                error=error,
                error_bases=BASES,
            )
        loop: LoopMark = "none"
        if place.ends_loop:
            iteration = int(attempt.path.rpartition("@")[2].partition("/")[0])
            loop = "done" if iteration + 1 >= turns(node.id) else "again"
        return replace(outcome, output=digest(node.id, data), loop=loop)

    def finish(self, attempt: OwedAttempt) -> list[Event]:
        """The function runs and its outcome is decided."""
        self.executions.append((attempt.path, attempt.attempt))
        return self.decide(self.outcome(attempt))


def go_on(runner: InstanceRunner, program: Program) -> None:
    answered = {
        position.offset
        for event in runner.events
        if (position := parse_command_cause(event.cause)) is not None
    }
    for offset, command in enumerate(program.commands):
        if offset not in answered:
            runner.commands = offset
            runner.command(command)
    runner.run()


@QUIET
@given(programs())
def test_a_program_gives_what_the_model_says(program: Program) -> None:
    runner = ProgramRunner(program.graph)
    go_on(runner, program)
    assert runner.header.phase == "completed", runner.events[-1]
    assert runner.output == output_of(program)


@settings(parent=QUIET, max_examples=25)
@given(programs(most=8))
def test_a_crash_behind_any_decision_changes_nothing(program: Program) -> None:
    whole = ProgramRunner(program.graph)
    go_on(whole, program)
    causes = [event.cause for event in whole.events]
    ends = [n for n in range(1, len(causes)) if causes[n] != causes[n - 1]]
    for end in ends:
        runner = ProgramRunner(program.graph, events=list(whole.events[:end]))
        runner.now = whole.events[end - 1].at
        runner.crash()
        go_on(runner, program)
        assert runner.output == whole.output, f"crash behind event {end}"
        bodies = [event.body for event in runner.events]
        done = [body.path for body in bodies if isinstance(body, TaskCompleted)]
        assert len(done) == len(set(done))


@settings(parent=QUIET, max_examples=60)
@given(programs())
def test_a_program_whose_decisions_are_cut_gives_the_same(program: Program) -> None:
    runner = ProgramRunner(program.graph, limits=Limits(decision_events=2))
    go_on(runner, program)
    assert runner.output == output_of(program)


def test_the_snapshot_of_a_long_loop_stays_small() -> None:
    loop = LoopNode(
        id="loop_0",
        body=(TaskNode(id="a"), TaskNode(id="b-199")),
        max_iterations=200,
    )
    runner = ProgramRunner(Graph(name="w", chain=(loop,)))
    runner.start(b'"in"')
    sizes: list[int] = []
    while runner.step():
        sizes.append(len(runner.rows.rows))
    assert runner.header.phase == "completed"
    assert max(sizes) <= 12

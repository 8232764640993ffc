"""Any program that fails somewhere is undone in the right order, also when crashed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sayiir_es.core.graph.nodes import ForkNode, TaskNode
from sayiir_es.core.graph.paths import is_compensation
from sayiir_es.core.model.commands import CancelWorkflow, RetryWorkflow
from sayiir_es.core.model.compensation_events import CompensationEnded
from sayiir_es.core.model.events import (
    PositionUpdated,
    TaskCompleted,
    WorkflowCancelled,
    WorkflowFailed,
)
from sayiir_es.core.model.limits import Limits
from tests.core.forked_runner import fork
from tests.core.nodes.test_constructs import ProgramRunner, go_on
from tests.core.programs import Program, programs
from tests.random_programs import with_compensations

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Outcome
    from tests.core.instance_runner import InstanceRunner

QUIET = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class Unlucky(ProgramRunner):
    """About every fourth task fails for good, half of the compensations, and `bad`."""

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """As the model says, or a failure; of a retried run a success."""
        outcome = super().outcome(attempt)
        drawn = hashlib.sha256(attempt.path.encode()).digest()[0]
        share = 2 if is_compensation(attempt.path) else 4
        is_lucky = drawn % share and attempt.path != "bad"
        if is_lucky or attempt.run > 1:
            return outcome
        return replace(
            outcome, result="failed", output=None, loop="none", retriable=False
        )


@st.composite
def undoable_programs(draw: st.DrawFn, most: int = 12) -> Program:
    """Programs that fail, in which about half of the tasks can be undone."""
    program = draw(programs(most=most))
    chance = Random(draw(st.integers(0, 1000)))  # noqa: S311 (a test's)
    chain = (
        TaskNode(id="first", compensate=TaskNode(id=f"un{draw(st.integers(0, 9))}")),
        *with_compensations(chance, program.graph.chain),
        TaskNode(id="bad"),
    )
    return replace(program, graph=replace(program.graph, chain=chain))


def stand_apart(graph: Graph, one: str, other: str) -> bool:
    """Whether two paths are in different branches of one fork, the innermost common."""
    ones, others = one.split("/"), other.split("/")
    common = 0
    while ones[common] == others[common]:
        common += 1
    place = graph.place("/".join(ones[:common])) if common else None
    return place is not None and isinstance(place.node, ForkNode)


def check(graph: Graph, events: list[Event]) -> None:
    """The order, and that each task is in one list, of what ended a run."""
    completed: dict[str, int] = {}
    to_undo: set[str] = set()
    for event in events:
        body = event.body
        match body:
            case TaskCompleted(compensable=True):
                completed[body.path] = event.sequence
                to_undo.add(body.path)
            case PositionUpdated() if is_compensation(body.path):
                path = body.path.rpartition("/")[0]
                assert path in to_undo
                in_the_way = [
                    other
                    for other in to_undo
                    if completed[other] > completed[path]
                    and not stand_apart(graph, path, other)
                ]
                assert not in_the_way, f"{path} before {in_the_way}"
            case CompensationEnded():
                to_undo.remove(body.path)
            case WorkflowFailed() | WorkflowCancelled():
                named = [*body.compensated, *body.not_compensated]
                assert sorted(named) == sorted(completed)
                assert not to_undo
                to_undo |= set(body.not_compensated)
            case _:
                pass


def undone(runner: InstanceRunner) -> tuple[frozenset[str], frozenset[str]]:
    body = runner.events[-1].body
    assert isinstance(body, WorkflowFailed | WorkflowCancelled), body
    return frozenset(body.compensated), frozenset(body.not_compensated)


def failed(program: Program, limits: Limits | None = None) -> InstanceRunner:
    """A run of it that has failed behind tasks that can be undone."""
    runner = Unlucky(program.graph, limits=limits or Limits())
    go_on(runner, program)
    assume(runner.header.phase == "failed")
    assume("CompensationStarted" in runner.kinds())
    return runner


@QUIET
@given(undoable_programs())
def test_what_was_done_is_undone_in_reverse_and_named_once(program: Program) -> None:
    runner = failed(program)
    check(program.graph, runner.events)
    assert not any(key[0] == "u" for key in runner.rows.rows)
    assert not any(key.endswith("@compensate") for key in runner.rows.keys("c"))


@settings(parent=QUIET, max_examples=40)
@given(undoable_programs(most=8))
def test_a_crash_behind_any_decision_undoes_the_same(program: Program) -> None:
    whole = failed(program)
    causes = [event.cause for event in whole.events]
    for end in (n for n in range(1, len(causes)) if causes[n] != causes[n - 1]):
        runner = Unlucky(program.graph, events=list(whole.events[:end]))
        runner.now = whole.events[end - 1].at
        runner.crash()
        go_on(runner, program)
        assert runner.header.phase == "failed", f"crash behind event {end}"
        check(program.graph, runner.events)


@settings(parent=QUIET, max_examples=60)
@given(undoable_programs())
def test_decisions_that_are_cut_undo_the_same(program: Program) -> None:
    whole = failed(program)
    runner = failed(program, Limits(decision_events=1))
    check(program.graph, runner.events)
    assert undone(runner) == undone(whole)


@settings(parent=QUIET, max_examples=60)
@given(undoable_programs(), st.integers(1, 60))
def test_a_cancel_anywhere_undoes_what_was_done_by_then(
    program: Program, at: int
) -> None:
    runner = ProgramRunner(program.graph)
    for command in program.commands:
        runner.command(command)
    for _ in range(at):
        if not (runner.step() or runner.fire()):
            break
    assume(runner.header.phase == "running")
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.header.phase == "cancelled"
    check(program.graph, runner.events)


@settings(parent=QUIET, max_examples=60)
@given(undoable_programs())
def test_retries_undo_what_could_not_be_and_nothing_twice(program: Program) -> None:
    runner = failed(program)
    before, left = undone(runner)
    assume(left)
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.header.phase == "failed"
    assert undone(runner) == (before | left, frozenset())
    check(program.graph, runner.events)


@settings(parent=QUIET, max_examples=30)
@given(undoable_programs(most=8))
def test_a_fork_at_any_event_undoes_by_itself(program: Program) -> None:
    source = failed(program)
    for at in range(1, len(source.events)):
        runner = Unlucky(program.graph, now=source.now)
        fork(runner, source.events, at)
        go_on_with_signals(runner, program)
        if runner.header.phase == "failed":
            check(program.graph, runner.events)


def go_on_with_signals(runner: InstanceRunner, program: Program) -> None:
    """What the source was sent behind the event of the fork, the fork gets, too."""
    for command in program.commands[1:]:
        runner.command(replace(command, command_id=f"again-{runner.commands}"))
    runner.run()

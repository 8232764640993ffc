"""A fork at every event of any program gives what the model says, crashed or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings

from sayiir_es.core.model.limits import Limits
from sayiir_es.core.model.position import parse_command_cause
from tests.core.forked_runner import fork
from tests.core.nodes.test_constructs import QUIET, ProgramRunner
from tests.core.nodes.test_constructs import go_on as run_whole
from tests.core.programs import Program, output_of, programs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from tests.core.instance_runner import InstanceRunner

FORKED_AT = 1_000
"""The offset of the command that forks: behind those of the program."""


def go_on(runner: InstanceRunner, program: Program, source: Sequence[Event]) -> None:
    """Send a fork what its source had not been sent there, and run it to its end."""
    answered = {
        position.offset
        for event in (*source, *runner.events)
        if (position := parse_command_cause(event.cause)) is not None
    }
    for offset, command in enumerate(program.commands):
        if offset not in answered:
            runner.commands = offset
            runner.command(command)
    runner.run()


def places(source: Sequence[Event]) -> list[int]:
    """The sequences at which a run can be forked."""
    first = next(n for n, e in enumerate(source) if e.kind == "WorkflowStarted")
    return list(range(first + 1, len(source) + 1))


@settings(parent=QUIET, max_examples=60)
@given(programs())
def test_a_fork_at_any_event_gives_what_the_model_says(program: Program) -> None:
    source = ProgramRunner(program.graph)
    run_whole(source, program)
    for at in places(source.events):
        runner = ProgramRunner(program.graph, now=source.now, commands=FORKED_AT)
        events = fork(runner, source.events, at)
        assert [e.sequence for e in events] == list(range(1, len(events) + 1))
        assert [e.kind for e in events[1 : at + 1]] == source.kinds()[:at]
        go_on(runner, program, source.events[:at])
        assert runner.header.phase == "completed", (at, runner.events[-1])
        assert runner.output == output_of(program), at


@settings(parent=QUIET, max_examples=30)
@given(programs(most=8))
def test_a_fork_whose_decisions_are_cut_gives_the_same(program: Program) -> None:
    source = ProgramRunner(program.graph, limits=Limits(decision_events=3))
    run_whole(source, program)
    for at in places(source.events):
        runner = ProgramRunner(
            program.graph, now=source.now, commands=FORKED_AT, limits=source.limits
        )
        fork(runner, source.events, at)
        go_on(runner, program, source.events[:at])
        assert runner.output == output_of(program), at


@settings(parent=QUIET, max_examples=8)
@given(programs(most=6))
def test_a_crash_behind_any_decision_of_a_fork_changes_nothing(
    program: Program,
) -> None:
    source = ProgramRunner(program.graph)
    run_whole(source, program)
    for at in places(source.events)[::2]:
        whole = ProgramRunner(program.graph, now=source.now, commands=FORKED_AT)
        fork(whole, source.events, at)
        go_on(whole, program, source.events[:at])
        causes = [event.cause for event in whole.events]
        ends = [n for n in range(1, len(causes)) if causes[n] != causes[n - 1]]
        for end in ends:
            runner = ProgramRunner(program.graph, events=list(whole.events[:end]))
            runner.now = whole.events[end - 1].at
            runner.crash()
            go_on(runner, program, source.events[:at])
            assert runner.output == whole.output, (at, end)


@settings(parent=QUIET, max_examples=30)
@given(programs(most=8))
def test_a_fork_of_a_fork_gives_the_same(program: Program) -> None:
    source = ProgramRunner(program.graph)
    run_whole(source, program)
    chosen = places(source.events)
    at = chosen[len(chosen) // 2]
    first = ProgramRunner(program.graph, now=source.now, commands=FORKED_AT)
    fork(first, source.events, at)
    for again in range(chosen[0] + 1, len(first.events) + 1):
        runner = ProgramRunner(program.graph, now=source.now, commands=FORKED_AT)
        events = fork(runner, first.events, again)
        assert events[1].body == first.events[0].body
        copied = [e for e in source.events[:at] if e.sequence < again]
        go_on(runner, program, copied)
        assert runner.output == output_of(program), again

"""Crash after every event, resume on another owner: the same output.

A decision is one batch or part of one, and a batch lands whole or not at all: so the
log may end behind every decision, never inside one.

Random chains of tasks (that fail and succeed), delays and waits, with their signals. A
model that knows nothing of decide predicts the output.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, Node, Retry, SignalNode, TaskNode
from sayiir_es.core.model.commands import Command, SendSignal, StartWorkflow
from sayiir_es.core.model.position import parse_command_cause
from tests.core.instance_runner import InstanceRunner, Task


@dataclass(frozen=True)
class Program:
    """A chain, how often each task fails before it succeeds, and its commands."""

    chain: tuple[Node, ...]
    failures: dict[str, int]
    commands: tuple[Command, ...]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    chain: list[Node] = []
    failures: dict[str, int] = {}
    signals: list[Command] = []
    for number in range(draw(st.integers(1, 7))):
        name = f"n{number}"
        kind = draw(st.sampled_from(["task", "timed", "retried", "delay", "signal"]))
        if kind == "delay":
            chain.append(DelayNode(id=name, duration_ms=draw(st.integers(0, 5000))))
        elif kind == "signal":
            wanted = draw(st.booleans())
            chain.append(
                SignalNode(
                    id=name,
                    signal=name,
                    timeout_ms=draw(st.integers(1, 5000)) if not wanted else None,
                )
            )
            if wanted:
                signals.append(
                    SendSignal(
                        instance_id="i",
                        command_id="",
                        signal=name,
                        payload=b'"%s"' % name.encode(),
                    )
                )
        else:
            most = draw(st.integers(1, 3)) if kind == "retried" else 0
            retry = Retry(max_retries=most) if most else None
            failures[name] = draw(st.integers(0, most + (kind == "retried")))
            chain.append(
                TaskNode(
                    id=name, retry=retry, timeout_ms=90_000 if kind == "timed" else None
                )
            )
    start: list[Command] = [InstanceRunner.start_command("w", b'"in"')]
    before = draw(st.booleans())
    commands = signals + start if before else start + signals
    return Program(tuple(chain), failures, tuple(commands))


def model(program: Program) -> bytes | None:
    """What the program gives: the output, or None where it fails."""
    data = b'"in"'
    for node in program.chain:
        if isinstance(node, TaskNode):
            retries = node.retry.max_retries if node.retry is not None else 0
            if program.failures[node.id] > retries:
                return None
            data = data[:-1] + b"+" + node.id.encode() + b'"'
        elif isinstance(node, SignalNode):
            data = (
                b"null" if node.timeout_ms is not None else b'"%s"' % (node.id.encode())
            )
        if data == b"null":
            data = b"null"
    return data


def task(name: str, failures: int) -> Task:
    def run(data: bytes, attempt: int, /) -> bytes | str:
        if attempt <= failures:
            return "not yet"
        return data[:-1] + b"+" + name.encode() + b'"'

    return run


def runner_of(program: Program) -> InstanceRunner:
    tasks = {name: task(name, count) for name, count in program.failures.items()}
    return InstanceRunner(Graph(name="w", chain=program.chain), tasks=tasks)


def go_on(runner: InstanceRunner, program: Program) -> None:
    """Send the commands that have no answer yet, and run to the end."""
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


def decision_ends(runner: InstanceRunner) -> list[int]:
    """How many events there are behind each decision, 0 before the first."""
    causes = [event.cause for event in runner.events]
    inner = [n for n in range(1, len(causes)) if causes[n] != causes[n - 1]]
    return [0, *inner, len(causes)]


def result(runner: InstanceRunner) -> tuple[str, bytes | None]:
    return runner.header.phase, runner.output


@settings(max_examples=60, deadline=None)
@given(programs())
def test_a_crash_after_any_event_changes_nothing(program: Program) -> None:
    whole = runner_of(program)
    go_on(whole, program)
    expected = model(program)
    assert whole.output == expected
    assert whole.header.phase == ("failed" if expected is None else "completed")
    for kept in decision_ends(whole):
        other = runner_of(program)
        other.events = list(whole.events[:kept])
        other.now = whole.events[kept - 1].at if kept else other.now
        other.crash()
        go_on(other, program)
        assert result(other) == result(whole), f"crash after event {kept}"


def starts(program: Program) -> list[StartWorkflow]:
    return [c for c in program.commands if isinstance(c, StartWorkflow)]


@settings(max_examples=60, deadline=None)
@given(programs(), st.lists(st.integers(0, 40), max_size=3))
def test_several_crashes_change_nothing(program: Program, cuts: list[int]) -> None:
    whole = runner_of(program)
    go_on(whole, program)
    runner = runner_of(program)
    for cut in cuts:
        go_on(runner, program)
        ends = decision_ends(runner)
        runner.events = runner.events[: ends[cut % len(ends)]]
        runner.now = runner.events[-1].at if runner.events else runner.now
        runner.crash()
    go_on(runner, program)
    assert result(runner) == result(whole)
    assert len(starts(program)) == 1

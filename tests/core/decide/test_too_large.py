"""What fits no batch ends its run with `too_large`, and never comes again by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es import Flow
from sayiir_es.core.draft import EventTooLargeError
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ForkNode,
    LoopNode,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    Event,
    TaskFailed,
    WorkflowCancelled,
    WorkflowFailed,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.core.model.record_size import event_bytes
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner
from tests.core.nodes.test_constructs import QUIET, ProgramRunner, go_on
from tests.core.programs import Program, output_of, programs

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import Node

RETRY = RetryWorkflow(instance_id="i", command_id="")
LOCAL_BYTES = 900_000
"""What the local logs take in one batch."""


def text(size: int) -> bytes:
    """A payload of that many bytes."""
    return json.dumps("x" * (size - 2)).encode()


def too_large(runner: InstanceRunner) -> WorkflowFailed:
    """How the run ended: with its failure, and nothing in quarantine."""
    body = runner.events[-1].body
    assert isinstance(body, WorkflowFailed), body
    assert body.error_type == "too_large"
    assert "pass a reference to large data" in body.error
    assert runner.header.phase == "failed"
    return body


def envelope(*behind: Node) -> InstanceRunner:
    """A route whose key and result are 600 kB each, and what comes behind it."""
    route = RouteNode(id="r", keys=("a",), branches=(), default=(TaskNode(id="t"),))
    graph = Graph(name="w", chain=(route, *behind))
    runner = InstanceRunner(graph, batch_bytes=LOCAL_BYTES)
    for node_id in ("r", "t"):
        path = graph.find(node_id)
        assert path is not None
        runner.tasks[path] = lambda _data, _number: text(600_000)
    return runner


def test_an_output_that_fits_no_batch_fails_its_run_at_the_last_node() -> None:
    runner = envelope()
    runner.start()
    runner.run()
    body = too_large(runner)
    assert body.path == "r"
    assert "WorkflowCompleted has 1200" in body.error
    History.of(runner)  # it verifies


def test_what_nobody_records_may_have_any_size() -> None:
    runner = envelope(TaskNode(id="last"))
    runner.tasks["last"] = lambda data, _number: b"%d" % len(data)
    runner.start()
    runner.run()
    assert int(runner.output or b"0") > 1_200_000


def test_a_retry_fails_again_until_the_log_takes_more() -> None:
    runner = envelope()
    runner.start()
    runner.run()
    for run in (2, 3):
        runner.command(RETRY)
        runner.run()
        too_large(runner)
        assert runner.header.run == run
    History.of(runner)
    runner.batch_bytes *= 2
    runner.command(RETRY)
    assert runner.header.phase == "completed"
    History.of(runner)


def test_a_fork_whose_names_fit_no_batch_fails_before_it() -> None:
    names = [f"{number:04}" + "n" * 246 for number in range(4_000)]
    branches = tuple(Branch(name=n, chain=(TaskNode(id="t"),)) for n in names)
    fork = ForkNode(id="f", branches=branches)
    chain = (TaskNode(id="a"), fork, TaskNode(id="j"))
    runner = InstanceRunner(Graph(name="w", chain=chain), batch_bytes=LOCAL_BYTES)
    runner.start()
    runner.run()
    body = too_large(runner)
    assert body.path == runner.graph.successor("a")
    assert "ForkStarted" in body.error
    runner.command(RETRY)
    too_large(runner)
    assert runner.header.run == 2
    History.of(runner)


def test_an_output_that_fits_no_batch_fails_its_attempt_for_good() -> None:
    runner = InstanceRunner(
        Graph(name="w", chain=(TaskNode(id="a"),)), batch_bytes=20_000
    )
    runner.tasks["a"] = lambda _data, _number: text(20_000)
    runner.start()
    runner.run()
    failed = runner.events[-2].body
    assert isinstance(failed, TaskFailed)
    assert failed.error_type == "too_large"
    too_large(runner)
    History.of(runner)


def test_a_key_that_fits_no_batch_fails_its_attempt_for_good() -> None:
    runner = envelope()
    runner.batch_bytes = 500_000
    runner.start()
    runner.run()
    assert isinstance(runner.events[-2].body, TaskFailed)
    assert too_large(runner).path == "r"
    History.of(runner)


LOOP = LoopNode(id="l", body=(TaskNode(id="b-0"),), max_iterations=3)
SIGNAL = SignalNode(id="l", signal="go")


def narrowed(node: Node, kind: str) -> InstanceRunner:
    """A run of one node, taken over behind its first event of a kind.

    The log of the next owner takes less in a batch than the value has by then.
    """
    limits = Limits(payload_bytes=1 << 20)
    graph = Graph(name="w", chain=(node,))
    wide = ProgramRunner(graph, limits=limits)
    wide.start()
    if node is SIGNAL:
        large = text(950_000)
        wide.command(
            SendSignal(instance_id="i", command_id="", signal="go", payload=large)
        )
    else:
        (attempt,) = wide.owed()
        wide.decide(replace(wide.outcome(attempt), output=text(950_000)))
    assert wide.header.phase == "completed"
    events = wide.events[: wide.kinds().index(kind) + 1]
    narrow = ProgramRunner(
        graph, limits=limits, events=list(events), batch_bytes=LOCAL_BYTES
    )
    narrow.now, narrow.commands = wide.now, wide.commands
    narrow.take_over()
    assert too_large(narrow).path == "l"
    return narrow


def test_a_loops_value_that_fits_no_batch_fails_the_loop_which_begins_again() -> None:
    runner = narrowed(LOOP, "TaskCompleted")
    runner.command(RETRY)
    assert runner.kinds()[-3:] == ["WorkflowRetried", "LoopStarted", "PositionUpdated"]
    runner.run()
    assert runner.header.phase == "completed"
    History.of(runner)


@pytest.mark.parametrize(
    ("node", "kind"), [(LOOP, "LoopIterated"), (SIGNAL, "SignalConsumed")]
)
def test_a_node_that_has_ended_does_not_begin_again_where_its_run_failed_behind_it(
    node: Node, kind: str
) -> None:
    runner = narrowed(node, kind)
    runner.command(RETRY)
    too_large(runner)
    assert runner.kinds()[-2:] == ["WorkflowRetried", "WorkflowFailed"]
    runner.batch_bytes = 1 << 20
    runner.command(RETRY)
    assert runner.kinds()[-2:] == ["WorkflowRetried", "WorkflowCompleted"]
    assert runner.output == text(950_000)
    History.of(runner)


def test_a_start_that_fits_no_batch_raises_for_its_owner_to_reject() -> None:
    runner = InstanceRunner(
        Graph(name="w", chain=(TaskNode(id="a"),)), batch_bytes=20_000
    )
    with pytest.raises(EventTooLargeError, match="WorkflowStarted"):
        runner.start(text(20_000))


def deep(count: int, *, timeout_ms: int | None = None) -> Graph:
    """A fork of so many branches whose paths take more than a kilobyte each."""

    def nested(number: int) -> tuple[Node, ...]:
        inner: tuple[Node, ...] = (TaskNode(id="t", timeout_ms=timeout_ms),)
        for level in range(4):
            name = f"{number:04}-{level}" + "n" * 240
            fork = ForkNode(id=name, branches=(Branch(name=name, chain=inner),))
            inner = (fork, TaskNode(id="j"))
        return inner

    branches = [Branch(name=f"b{n}", chain=nested(n)) for n in range(count)]
    fork = ForkNode(id="f", branches=tuple(branches))
    return Graph(name="w", chain=(fork, TaskNode(id="j")))


@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_a_take_over_withdraws_any_number_of_attempts_with_long_paths(
    command: str,
) -> None:
    runner = InstanceRunner(deep(90, timeout_ms=1000), batch_bytes=100_000)
    runner.start()
    for attempt in runner.owed():
        runner.begin(attempt)
    if command == "pause":
        runner.command(PauseWorkflow(instance_id="i", command_id=""))
    else:
        runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.take_over()
    found = [event for event in runner.events if event.cause == "takeover:1"]
    assert sum(map(event_bytes, found)) > 2 * runner.batch_bytes
    if command == "pause":
        assert runner.kinds()[-1] == "WorkflowPaused"
        runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
        runner.run()
        assert runner.header.phase == "completed"
    else:
        assert runner.kinds()[-1] == "WorkflowCancelled"
    History.of(runner)


def test_a_cancel_names_no_more_paths_than_have_room() -> None:
    runner = InstanceRunner(deep(90))
    runner.start()
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.take_over()
    body = runner.events[-1].body
    assert isinstance(body, WorkflowCancelled)
    size = sum(len(path.encode()) for path in body.interrupted_at)
    limit = DEFAULT_LIMITS.interrupted_bytes
    assert limit - 2_000 < size <= limit
    history = History.of(runner)
    at = history.at("WorkflowCancelled")
    lie = WorkflowCancelled(
        reason=None, requested_by=None, interrupted_at=body.interrupted_at[:-1]
    )
    history.changed(at, lie).must_break("I17", at)


def test_a_failure_for_its_size_is_proven_by_the_checker() -> None:
    """A run whose output is small cannot have failed because of it."""
    runner = envelope()
    runner.tasks["r"] = lambda _data, _number: b'"other"'
    runner.tasks[runner.graph.find("t") or ""] = lambda _data, _number: text(700_000)
    runner.start()
    runner.run()
    assert runner.header.phase == "completed"
    history = History.of(runner)
    at = history.at("WorkflowCompleted")
    lie = WorkflowFailed(path="r", error_type="too_large", error="expected less")
    history.changed(at, lie).must_break("I7", at)


def test_an_opening_that_is_refused_for_its_size_is_proven_too() -> None:
    chain = (TaskNode(id="a"), SignalNode(id="s", signal="go"), TaskNode(id="b"))
    runner = InstanceRunner(Graph(name="w", chain=chain))
    runner.start()
    runner.run()
    runner.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b"1")
    )
    runner.run()
    history = History.of(runner)
    at = history.at("SignalAwaited")
    lie = WorkflowFailed(path="s", error_type="too_large", error="expected less")
    history.kept(at).added(at, lie).must_break("I7", at)


def longest_path(levels: int) -> str:
    """The longest path of so many routes, one in another."""
    name = "%" * 254
    flow: Flow[Any, Any] = Flow("w").then(len, name="t")
    for _ in range(levels):
        flow = Flow("w").route(len, keys=[name]).branch(name, flow).done()
    return max(flow.build().graph.places, key=len)


def test_a_failure_fits_every_log_with_the_longest_path_id_and_error() -> None:
    """So nothing that a flow can be built of ends in quarantine for its size."""
    one, two = longest_path(1), longest_path(2)
    levels = 1 + (65_536 - len(one)) // (len(two) - len(one))
    with pytest.raises(ValueError, match="paths of at most 65536 bytes"):
        longest_path(levels + 1)
    path = longest_path(levels)
    assert len(path) > 64_000
    events = [
        Event(
            claim=2**62,
            instance_id="i" * 256,
            run=2**31 - 1,
            sequence=2**62,
            at=2**62,
            cause=f"outcome:{path}#99",
            body=body,
        )
        for body in (
            TaskFailed(
                path=path,
                attempt=99,
                error_type="e" * 256,
                error="e" * 8192,
                timed_out=True,
                worker="w" * 256,
            ),
            WorkflowFailed(path=path, error_type="e" * 256, error="e" * 8192),
        )
    ]
    assert sum(map(event_bytes, events)) < LOCAL_BYTES / 3


@settings(parent=QUIET, max_examples=80)
@given(programs(), st.integers(900, 3_000))
def test_a_program_on_a_small_log_gives_the_same_or_fails_for_its_size(
    program: Program, batch_bytes: int
) -> None:
    runner = ProgramRunner(program.graph, batch_bytes=batch_bytes)
    go_on(runner, program)
    if runner.header.phase == "completed":
        assert runner.output == output_of(program)
        return
    body = runner.events[-1].body
    assert isinstance(body, WorkflowFailed)
    assert body.error_type == "too_large"

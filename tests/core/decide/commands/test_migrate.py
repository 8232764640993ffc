"""Migrating an instance: checked before, folded to new paths, and it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Need,
    Node,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import WorkflowMigrated
from sayiir_es.core.model.rows import get_cursors, get_run, get_value
from tests.core.forked_runner import fork
from tests.core.migrating_runner import Runner, refused

if TYPE_CHECKING:
    from tests.core.instance_runner import Task

A, B, C = TaskNode(id="a"), TaskNode(id="b"), TaskNode(id="c")
WAIT = SignalNode(id="ok", signal="ok", timeout_ms=60_000)


def named(name: str) -> Task:
    """A task that appends its name."""
    return lambda data, _attempt: data[:-1] + b"+" + name.encode() + b'"'


TASKS = {name: named(name) for name in ("a", "b", "c", "pay")}


def graph(*chain: Node, version: str | None = None) -> Graph:
    return Graph(name="w", chain=chain, version=version)


def begun(old: Graph, *others: Graph, tasks: dict[str, Task] | None = None) -> Runner:
    runner = Runner(old, tasks=TASKS if tasks is None else tasks, others=others)
    runner.start(b'"in"')
    return runner


def test_a_waiting_run_goes_on_with_another_graph_and_keeps_its_times() -> None:
    new = graph(A, WAIT, TaskNode(id="pay"), C, version="2")
    runner = begun(graph(A, WAIT, B), new)
    runner.step()
    before = [cursor for _, cursor in get_cursors(runner.rows)]
    runner.now += 1_000
    (event,) = runner.migrate(new)
    assert event.body == WorkflowMigrated(
        command_id="m1",
        graph_digest=new.digest,
        definition_hash=new.definition_hash,
        mapping={},
        version="2",
        reason="deploy",
        requested_by="ana",
    )
    run = get_run(runner.rows)
    assert run is not None
    assert (run.graph_digest, run.version) == (new.digest, "2")
    assert [cursor for _, cursor in get_cursors(runner.rows)] == before
    runner.signal()
    runner.run()
    assert runner.output == b'"s+pay+c"'
    runner.check()


def test_a_renamed_task_that_is_due_goes_on_under_its_new_path() -> None:
    new = graph(A, TaskNode(id="pay"), C)
    runner = begun(graph(A, B, C), new)
    runner.step()
    runner.migrate(new, b="pay")
    runner.run()
    assert runner.output == b'"in+a+pay+c"'
    assert runner.executions == [("a", 1), ("pay", 1), ("c", 1)]
    runner.check()


FORK = ForkNode(
    id="a||b",
    branches=(Branch(name="a", chain=(A, WAIT)), Branch(name="b", chain=(B,))),
)
FORK_NOW = ForkNode(
    id="a||pay",
    branches=(
        Branch(name="a", chain=(A, WAIT, C)),
        Branch(name="pay", chain=(TaskNode(id="pay"),)),
    ),
)


def test_a_task_renamed_in_a_branch_moves_the_branch_and_the_fork() -> None:
    new = graph(FORK_NOW, TaskNode(id="join"))
    runner = begun(graph(FORK, TaskNode(id="join")), new)
    while runner.step():
        pass
    runner.migrate_by(new, {"a||b/b/b": "a||pay/pay/pay"})
    assert get_value(runner.rows, "result:a||pay/pay/pay") == b'"in"'
    assert get_value(runner.rows, "result:a||b/b/b") is None
    runner.signal()
    runner.run()
    assert runner.output == b'{"a":"s","pay":"in"}'
    runner.check()


def test_a_fork_with_other_branches_has_no_place_for_what_runs_in_it() -> None:
    more = replace(FORK, branches=(*FORK.branches, Branch(name="c", chain=(C,))))
    new = graph(more, TaskNode(id="join"))
    runner = begun(graph(FORK, TaskNode(id="join")), new)
    code, message = refused(runner.migrate(new))
    assert code == "not_migratable"
    assert message == (
        "expected the branches ['a', 'b'] of the fork at 'a||b' in the new graph, but "
        "['a', 'b', 'c']"
    )


def looped(*body: Node) -> Graph:
    return graph(LoopNode(id="loop_0", body=body, max_iterations=5), C)


def test_an_iteration_goes_on_in_the_loop_that_it_moved_to() -> None:
    new = graph(
        LoopNode(id="turns", body=(TaskNode(id="pay"), WAIT, B), max_iterations=5), C
    )
    runner = begun(looped(A, WAIT, B), new)
    runner.step()
    runner.migrate_by(new, {"loop_0/a": "turns/pay"})
    paths = sorted(cursor.path for _, cursor in get_cursors(runner.rows))
    assert paths == ["turns", "turns@0/ok"]
    assert get_value(runner.rows, "result:turns@0/pay") == b'"in"'
    runner.check()


def test_a_chosen_branch_and_a_child_go_on() -> None:
    route = RouteNode(
        id="r", keys=("x",), branches=(Branch(name="x", chain=(WAIT, B)),)
    )
    child = ChildNode(id="child_0", workflow="k", chain=(route, A))
    new_child = replace(child, chain=(route, C, A))
    new = graph(new_child, B)
    runner = begun(graph(child), new, tasks={"child_0/r": lambda _d, _a: b'"x"'})
    runner.step()
    runner.migrate(new)
    runner.signal()
    runner.run()
    assert runner.output == b'{"branch":"x","result":"s"}'
    assert [path for path, _ in runner.executions][-3:] == [
        "child_0/c",
        "child_0/a",
        "b",
    ]
    runner.check()


def test_what_a_pause_held_back_follows_the_new_graph() -> None:
    new = graph(A, C, B)
    runner = begun(graph(A, B), new)
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.finish(attempt)
    runner.migrate(new)
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.output == b'"in+a+c+b"'
    runner.check()


def test_a_paused_run_at_the_end_of_its_chain_goes_on_behind_it() -> None:
    new = graph(A, B)
    runner = begun(graph(A), new)
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.finish(attempt)
    runner.migrate(new)
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.output == b'"in+a+b"'
    runner.check()


def test_a_failed_run_migrates_and_is_retried() -> None:
    new = graph(A, TaskNode(id="pay"))
    runner = begun(graph(A, B), new, tasks={**TASKS, "b": lambda _d, _a: "no"})
    runner.run()
    assert runner.header.phase == "failed"
    runner.migrate(new, b="pay")
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.output == b'"in+a+pay"'
    runner.check()


def test_a_fork_of_a_migrated_instance_begins_anywhere_in_its_history() -> None:
    new = graph(A, TaskNode(id="pay"), C)
    source = begun(graph(A, B, C), new)
    source.step()
    source.migrate(new, b="pay")
    source.run()
    for sequence in range(1, len(source.events) + 1):
        runner = Runner(graph(A, B, C), tasks=TASKS, others=(new,))
        fork(runner, source.events, sequence)
        runner.run()
        migrated = any(event.kind == "WorkflowMigrated" for event in runner.events)
        expected = b'"in+a+pay+c"' if migrated else b'"in+a+b+c"'
        assert runner.output == expected, sequence
        runner.check()


def test_a_fork_at_the_retry_of_a_failed_run_that_migrated() -> None:
    new = graph(SignalNode(id="go", signal="ok", timeout_ms=9, on_timeout="fail"), B)
    old = graph(SignalNode(id="s", signal="ok", timeout_ms=9, on_timeout="fail"), B)
    source = begun(old, new)
    source.run()
    assert source.header.phase == "failed"
    source.migrate(new, s="go")
    (retried, *_) = source.command(RetryWorkflow(instance_id="i", command_id=""))
    runner = Runner(old, tasks=TASKS, others=(new,))
    fork(runner, source.events, retried.sequence)
    runner.signal()
    runner.run()
    assert runner.output == b'"s+b"'
    runner.check()


@pytest.mark.parametrize("lost", range(20))
def test_a_crash_after_any_event_changes_nothing(lost: int) -> None:
    new = graph(A, FORK_NOW, TaskNode(id="join"), C)
    whole = begun(graph(A, FORK, TaskNode(id="join")), new)
    runner = begun(graph(A, FORK, TaskNode(id="join")), new)

    def go(one: Runner, *, crashes: bool) -> None:
        steps = [one.step] * 3 + [lambda: migrate(one)] + [one.step] * 3
        steps += [lambda: signal(one)] + [one.step] * 5
        for done, step in enumerate(steps):
            if crashes and done == lost:
                one.crash()
            step()

    def migrate(one: Runner) -> bool:
        return bool(one.migrate_by(new, {"a||b/b/b": "a||pay/pay/pay"}))

    def signal(one: Runner) -> bool:
        one.signal()
        return True

    go(whole, crashes=False)
    go(runner, crashes=True)
    assert whole.header.phase == "completed"
    assert runner.output == whole.output
    assert runner.output is not None
    runner.check()


# --- refused --------------------------------------------------------------------------


def test_a_mapped_attempt_that_runs_is_to_be_paused_first() -> None:
    new = graph(A, TaskNode(id="pay"))
    runner = begun(graph(A, B), new)
    runner.step()
    runner.running = frozenset({"b"})
    code, message = refused(runner.migrate(new, b="pay"))
    assert code == "not_migratable"
    assert message == (
        "expected no running attempt, but one runs at 'b', which moves to 'pay': pause "
        "it first"
    )
    longer = graph(A, B, C)
    runner.others = (*runner.others, longer)
    runner.migrate(longer)
    runner.run()
    assert runner.output == b'"in+a+b+c"'
    runner.check()


def test_a_running_attempt_gets_no_time_out_that_it_had_not() -> None:
    new = graph(A, replace(B, timeout_ms=5))
    runner = begun(graph(A, B), new)
    runner.step()
    runner.running = frozenset({"b"})
    code, message = refused(runner.migrate(new))
    assert (code, message[-14:]) == ("not_migratable", "pause it first")
    runner.running = frozenset()
    runner.migrate(new)
    runner.run()
    runner.check()


WRONG: dict[str, tuple[Graph, dict[str, str], str]] = {
    "gone": (graph(A, C), {}, "expected a task at 'b' in the new graph"),
    "another kind": (
        graph(A, DelayNode(id="b", duration_ms=1)),
        {},
        "'b' goes on, but a delay",
    ),
    "two meet": (graph(A, B), {"a": "b"}, "two lead to 'result:b'"),
    "a need that has no value": (
        graph(C, A, B, replace(TaskNode(id="d"), needs=(Need(name="c", path="c"),))),
        {},
        "expected a value of 'c', which 'd' needs by name",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_has_no_place_is_named(name: str) -> None:
    new, mapping, text = WRONG[name]
    runner = begun(graph(A, B), new)
    runner.step()
    runner.step()
    runner = begun(graph(A, B), new)
    runner.step()
    if name == "two meet":
        runner = begun(graph(A, B, WAIT), graph(A, B, WAIT, C))
        runner.step()
        runner.step()
        new = runner.others[0]
    code, message = refused(runner.migrate_by(new, mapping))
    assert code == "not_migratable"
    assert text in message


@pytest.mark.parametrize(
    ("to", "mapping", "code"),
    [
        ("abc", {}, "bad_request"),
        ("not hex!!", {}, "bad_request"),
        ("f" * 16, {}, "unknown_workflow"),
        ("latest", {"nothing": "b"}, "bad_request"),
        ("latest", {"a": "x/y"}, "bad_request"),
        ("latest", {"a": ""}, "bad_request"),
    ],
)
def test_what_means_nothing_is_refused(
    to: str, mapping: dict[str, str], code: str
) -> None:
    runner = begun(graph(A, B))
    assert refused(runner.migrate_by(to, mapping))[0] == code


def test_the_graph_is_named_by_hash_digest_or_beginning() -> None:
    new = graph(A, B, C)
    for to in (new.digest, new.digest[:8], new.definition_hash, "latest"):
        runner = begun(graph(A, B), new)
        kinds = [event.kind for event in runner.migrate(to)]
        expected = "CommandAcknowledged" if to == "latest" else "WorkflowMigrated"
        assert kinds == [expected], to


def test_what_has_ended_does_not_migrate() -> None:
    runner = Runner(graph(A))
    assert refused(runner.migrate("latest"))[0] == "not_found"
    runner.start()
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.take_over()
    assert runner.header.phase == "cancelled"
    assert refused(runner.migrate("latest"))[0] == "terminal"


def test_the_same_command_again_is_known() -> None:
    new = graph(A, B, C)
    runner = begun(graph(A, B), new)
    runner.migrate(new)
    command = MigrateWorkflow(
        instance_id="i", command_id="m1", to=new.digest, mapping={}
    )
    (event,) = runner.command(command)
    assert event.kind == "CommandAcknowledged"


def test_needs_of_nodes_ahead_are_to_come_or_there() -> None:
    def first(value: object) -> object:
        return value

    def last(value: object, *, first: object, between: object) -> object:
        return [value, first, between]

    old = Flow("w").then(first).wait_for_signal("ok").build().graph
    new = (
        Flow("w")
        .then(first)
        .wait_for_signal("ok")
        .then(first, name="between")
        .then(last)
        .build()
        .graph
    )
    runner = begun(old, new)
    runner.step()
    runner.migrate(new)
    runner.signal()
    runner.run()
    assert runner.header.phase == "completed"
    runner.check()

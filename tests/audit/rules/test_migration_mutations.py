"""I18: a migration that leads nowhere, or elsewhere than it says, is a violation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import SignalNode, TaskNode
from sayiir_es.core.model.commands import MigrateWorkflow, SendSignal
from sayiir_es.core.model.events import WorkflowMigrated
from tests.audit.instance_logs import commands_of, events_of, records_of, verified
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from tests.core.instance_runner import Task

OLD = Graph(name="w", chain=(SignalNode(id="go", signal="go"), TaskNode(id="a")))
NEW = replace(OLD, version="2", chain=(OLD.chain[0], TaskNode(id="b")))
STRANGE = replace(OLD, name="strange")


def migrated(*, due: bool) -> InstanceRunner:
    """An instance that migrates while it waits for a signal, or for its task."""
    runner = InstanceRunner(OLD, others=(NEW, STRANGE))
    runner.start()
    migrate = MigrateWorkflow(
        instance_id="i", command_id="", to=NEW.digest, mapping={"a": "b"}
    )
    signal = SendSignal(instance_id="i", command_id="", signal="go", payload=b"1")
    for command in (signal, migrate) if due else (migrate, signal):
        runner.command(command)
    runner.run()
    return runner


def violated(runner: InstanceRunner, **changes: Any) -> list[str]:
    """What is wrong when the migration says otherwise."""
    events = [
        replace(event, body=replace(event.body, **changes))
        if isinstance(event.body, WorkflowMigrated)
        else event
        for event in events_of(runner)
    ]
    found = verified(
        records_of(events), runner.graph, commands_of(events), runner.others
    )
    return [one.invariant for one in found]


@pytest.mark.parametrize("due", [False, True])
def test_what_was_decided_holds(*, due: bool) -> None:
    assert violated(migrated(due=due)) == []


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"graph_digest": "0" * 64},
        {"version": "3"},
        {"definition_hash": "0" * 64},
        {
            "graph_digest": STRANGE.digest,
            "definition_hash": STRANGE.definition_hash,
            "version": None,
        },
    ],
)
def test_a_graph_that_is_not_published_so_is_a_violation(
    changes: dict[str, Any], *, due: bool
) -> None:
    assert violated(migrated(due=due), **changes) == ["I18"]


def test_a_mapping_that_leads_to_no_node_of_the_kind_is_a_violation() -> None:
    assert violated(migrated(due=True), mapping={}) == ["I18"]
    assert violated(migrated(due=True), mapping={"a": "go"}) == ["I18"]


def test_what_goes_on_at_the_old_path_is_a_violation() -> None:
    runner = migrated(due=False)
    same = {
        "graph_digest": OLD.digest,
        "definition_hash": OLD.definition_hash,
        "version": None,
    }
    assert violated(runner, **same)


PAID = TaskNode(id="a", compensate=TaskNode(id="undo"))
BEFORE = Graph(name="w", chain=(PAID, OLD.chain[0], TaskNode(id="bad")))
BEHIND = replace(BEFORE, version="2", chain=(replace(PAID, id="b"), *BEFORE.chain[1:]))
PLAIN = replace(BEFORE, version="3", chain=(TaskNode(id="b"), *BEFORE.chain[1:]))


def undone() -> InstanceRunner:
    """An instance whose first task has another path when it is undone."""
    runner = InstanceRunner(
        BEFORE, others=(BEHIND, PLAIN), tasks={"bad": lambda _data, _attempt: "no"}
    )
    runner.start()
    runner.run()
    runner.command(
        MigrateWorkflow(
            instance_id="i", command_id="", to=BEHIND.digest, mapping={"a": "b"}
        )
    )
    runner.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b"1")
    )
    runner.run()
    return runner


def test_a_graph_that_cannot_undo_what_was_done_is_a_violation() -> None:
    runner = undone()
    assert violated(runner) == []
    plain = {
        "graph_digest": PLAIN.digest,
        "definition_hash": PLAIN.definition_hash,
        "version": "3",
    }
    assert "I18" in violated(runner, **plain)
    assert "I18" in violated(runner, mapping={})


def test_a_migration_while_the_run_is_undone_is_a_violation() -> None:
    longer = replace(BEFORE, chain=(*BEFORE.chain, TaskNode(id="more")))
    tasks: dict[str, Task] = {"bad": lambda _data, _attempt: "no"}
    runner = InstanceRunner(BEFORE, others=(longer,), tasks=tasks)
    runner.start()
    runner.run()
    for command in (
        SendSignal(instance_id="i", command_id="", signal="go", payload=b"1"),
        MigrateWorkflow(instance_id="i", command_id="", to=longer.digest, mapping={}),
    ):
        runner.command(command)
    runner.run()
    assert violated(runner) == []
    events = events_of(runner)
    kinds = [event.kind for event in events]
    at, to = kinds.index("WorkflowMigrated"), kinds.index("CompensationStarted") + 2
    assert kinds[to - 1] == "PositionUpdated"
    late = [*events[at + 1 : to], events[at]]
    events[at:to] = [
        replace(event, sequence=before.sequence)
        for event, before in zip(late, events[at:to], strict=True)
    ]
    found = verified(
        records_of(events), runner.graph, commands_of(events), runner.others
    )
    assert (found[0].invariant, found[0].expected) == (
        "I18",
        "no migration of a run that is undone",
    )

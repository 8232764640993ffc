"""What a deploy would strand, found before it: of instances that wait, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    WorkflowClient,
    run_durable_workflow,
    task,
)
from sayiir_es.audit import StrandedNode, find_stranded, replay
from tests.client.test_changed_workflows import saying

if TYPE_CHECKING:
    from sayiir_es import Workflow


def orders(*names: str, version: str | None = None) -> Workflow:
    flow = Flow("orders", version=version).then(saying("x"), name="check")
    flow.wait_for_signal("go")
    for name in names:
        flow.then(saying(name), name=name)
    return flow.build()


@pytest.fixture
def backend() -> InMemoryBackend:
    backend = InMemoryBackend()
    for name in ("a", "b"):
        run_durable_workflow(orders("pay", "ship"), name, 1, backend=backend)
    run_durable_workflow(orders("pay", version="2"), "c", 1, backend=backend)
    run_durable_workflow(Flow("bills").then(saying("y")).build(), "d", 1, backend)
    return backend


def test_what_a_later_node_would_lack_is_counted_with_an_example(
    backend: InMemoryBackend,
) -> None:
    report = find_stranded(backend, [orders("charge", "ship")], workflow="orders")
    assert report.instances == 3
    assert report.nodes == (
        StrandedNode(
            workflow="orders",
            version=None,
            path="pay",
            reason="expected a task, but nothing",
            count=2,
            example="b",
        ),
        StrandedNode(
            workflow="orders",
            version="2",
            path="pay",
            reason="expected a task, but no such workflow",
            count=1,
            example="c",
        ),
    )


def test_a_changed_definition_that_has_all_nodes_strands_nothing(
    backend: InMemoryBackend,
) -> None:
    today = [orders("pay", "ship", "more"), orders("pay", version="2")]
    report = find_stranded(backend, today)
    assert (report.instances, report.nodes) == (3, ())
    assert find_stranded(backend, today, status="paused").instances == 0


def test_what_has_run_needs_no_code_any_more(backend: InMemoryBackend) -> None:
    flow = Flow("orders").wait_for_signal("go").then(saying("p"), name="pay")
    flow.then(saying("s"), name="ship")
    today = [flow.build(), orders("pay", version="2")]
    assert find_stranded(backend, today).nodes == ()


def test_a_value_that_the_function_names_and_no_run_has(
    backend: InMemoryBackend,
) -> None:
    def pay(value: object, *, fraud: object) -> object:
        return [value, fraud]

    flow = Flow("orders", version="2").then(saying("x"), name="check")
    flow.then(saying("f"), name="fraud").wait_for_signal("go").then(pay)
    report = find_stranded(backend, [orders("pay", "ship"), flow.build()])
    assert [(node.path, node.reason) for node in report.nodes] == [
        ("pay", "expected a value of 'fraud', but none")
    ]


def test_a_migrated_history_is_held_to_the_graph_that_it_goes_on_with(
    backend: InMemoryBackend,
) -> None:
    client, new = WorkflowClient(backend), orders("charge", "ship")
    client.migrate("a", to=new, mapping={"pay": "charge"})
    client.send_signal("a", "go", None)
    assert replay(backend, "a", [new]).difference is None
    other = Flow("orders").then(saying("x"), name="check").wait_for_signal("stop")
    assert replay(backend, "a", [other.build()]).difference is not None
    assert find_stranded(backend, [new], workflow="orders").nodes[0].count == 1


def test_what_would_undo_a_completed_task_is_missed_before_it_is_due() -> None:
    backend = InMemoryBackend()
    pay = task(compensate=saying("undone"))(saying("paid"))
    paid = Flow("orders").then(pay, name="pay").wait_for_signal("go").build()
    run_durable_workflow(paid, "a", 1, backend=backend)
    without = Flow("orders").then(saying("paid"), name="pay").wait_for_signal("go")
    report = find_stranded(backend, [without.build()])
    assert [(node.path, node.reason) for node in report.nodes] == [
        ("pay/@compensate", "expected a compensation, but nothing")
    ]
    longer = Flow("orders").then(pay, name="pay").wait_for_signal("go")
    changed = longer.then(saying("x"), name="x").build()
    assert find_stranded(backend, [changed]).nodes == ()

"""`@task(compensate=…)`: what it makes of a graph, and what it refuses."""

from __future__ import annotations

import pytest

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Need, TaskNode
from sayiir_es.core.graph.record import graph_of_record, record_of_graph
from sayiir_es.core.model.errors import DecodeError


@task("give_back", timeout="9s", retries=2, tags=["bank"], priority=2)
def refund(_order: object, _receipt: object) -> None:
    """Undo it."""


@task
def first(value: int) -> int:
    return value


def charging(**options: object) -> Flow:
    @task(compensate=refund)
    def charge(value: int) -> int:
        return value

    @task
    def plain(value: int) -> int:
        return value

    charged = charge if options.get("undo", True) else plain
    return Flow("w").then(first).then(charged, name="charge")


def test_a_compensation_is_a_task_below_its_own_with_options_of_its_own() -> None:
    workflow = charging().build()
    node = workflow.graph.node("charge", TaskNode)
    assert node.compensate == TaskNode(
        id="give_back",
        timeout_ms=9000,
        retry=RetryPolicy(max_retries=2).to_retry(),
        tags=("bank",),
        priority=2,
    )
    place = workflow.graph.place("charge/@compensate")
    assert place is not None
    assert (place.node, place.container) == (node.compensate, "charge")
    function: object = workflow.functions["charge/@compensate"]
    assert function is refund
    assert workflow.graph.has_compensations
    assert workflow.graph.successor("charge/@compensate") is None


def test_it_stands_in_the_digest_and_not_in_the_definition_hash() -> None:
    with_it, without = charging().build().graph, charging(undo=False).build().graph
    assert with_it.definition_hash == without.definition_hash
    assert with_it.digest != without.digest
    assert b"compensate" not in record_of_graph(without)
    again = graph_of_record(record_of_graph(with_it))
    assert (again.chain, again.digest) == (with_it.chain, with_it.digest)


def test_a_lambda_that_undoes_takes_no_name_away_from_others() -> None:
    @task(compensate=lambda _value, _result: None)
    def one(value: int) -> int:
        return value

    graph = Flow("w").then(one).then(lambda value: value).build().graph
    assert graph.node("one", TaskNode).compensate == TaskNode(id="one::compensate")
    assert "lambda_0" in graph.places


def test_it_may_name_what_the_task_could_name() -> None:
    def undo(_both: object, *, workflow_input: int, first: int) -> None:
        del workflow_input, first

    @task(compensate=undo)
    def charge(value: int) -> int:
        return value

    graph = Flow("w").then(first).then(charge).build().graph
    node = graph.node("charge/@compensate", TaskNode)
    assert node.needs == (
        Need(name="workflow_input", path=""),
        Need(name="first", path="first"),
    )


def undo_with_need(_both: object, *, charge: int) -> None:
    del charge


def undo_of_three(_one: object, _two: object, _three: object) -> None:
    """Take more than there is."""


def undo_of_none() -> None:
    """Take nothing."""


@task(compensate=refund)
def undo_with_undo(_both: object) -> None:
    """Have one of its own."""


@pytest.mark.parametrize(
    ("undo", "message"),
    [
        (undo_with_need, "to name what surely ran before it .first., workflow_input"),
        (undo_of_three, "compensation of 'charge' to take .* but it takes 3"),
        (undo_of_none, "compensation of 'charge' to take .* but it takes none"),
        (undo_with_undo, "compensation of 'charge' that has none itself, but it has"),
    ],
)
def test_what_cannot_undo_is_refused_when_the_workflow_is_built(
    undo: object, message: str
) -> None:
    assert callable(undo)

    @task(compensate=undo)
    def charge(value: int) -> int:
        return value

    with pytest.raises(ValueError, match=message):
        Flow("w").then(first).then(charge).build()


def test_what_is_no_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="expected compensate to be a function"):
        task(compensate="refund")  # type: ignore[call-overload]  # that is the test


def test_a_graph_with_a_compensation_of_a_compensation_is_no_graph() -> None:
    undo = TaskNode(id="undo", compensate=TaskNode(id="again"))
    graph = Graph(name="w", chain=(TaskNode(id="t", compensate=undo),))
    with pytest.raises(DecodeError, match="none of a compensation"):
        graph_of_record(record_of_graph(graph))

"""Which values a task may name, and where they are at run time."""

from __future__ import annotations

import sys

import pytest

from sayiir_es import Flow
from sayiir_es.core.authoring.needs import takes_context
from sayiir_es.core.graph.codec import chain_from_json, chain_to_json
from sayiir_es.core.graph.nodes import Need, TaskNode
from sayiir_es.core.graph.references import in_same_iterations
from sayiir_es.core.json_fields import Fields


def a(_value: object) -> int:
    return 1


def wants_a(_value: object, *, a: int, workflow_input: object) -> object:
    return a, workflow_input


@pytest.mark.parametrize(
    ("path", "template", "expected"),
    [
        ("b", "a", "a"),
        ("l@3/b", "l/a", "l@3/a"),
        ("l@3/b", "a", "a"),
        ("l@3/m@1/b", "l/m/a", "l@3/m@1/a"),
        ("l@3/m@1/b", "l/a", "l@3/a"),
        ("l@3/b", "f/x/a", "f/x/a"),
        ("r/@default/b", "r/@default/a", "r/@default/a"),
        ("l@3/r/@default/b", "l/r/@default/a", "l@3/r/@default/a"),
        ("f/x/l@2/b", "f/x/a", "f/x/a"),
    ],
)
def test_a_path_is_in_the_iterations_around_both(
    path: str, template: str, expected: str
) -> None:
    assert in_same_iterations(path, template) == expected


def test_needs_stand_in_the_graph_and_come_back() -> None:
    graph = Flow("w").then(a).then(wants_a).build().graph
    node = graph.chain[1]
    assert isinstance(node, TaskNode)
    assert node.needs == (
        Need(name="a", path="a"),
        Need(name="workflow_input", path=""),
    )
    fields = Fields({"chain": chain_to_json(graph.chain)}, "graph")
    assert chain_from_json(fields, "chain") == graph.chain


def test_a_graph_without_needs_is_written_as_before_there_were_any() -> None:
    graph = Flow("w").then(a).build().graph
    assert "needs" not in str(chain_to_json(graph.chain))


def test_the_last_step_of_an_id_before_a_task_is_meant() -> None:
    graph = Flow("w").then(a).then(a).then(wants_a).then(a).build().graph
    node = graph.chain[2]
    assert isinstance(node, TaskNode)
    assert node.needs[0].path == "a#2"


def test_a_child_is_looked_through_behind_it() -> None:
    child = Flow("child").then(a).then(wants_a).build()
    graph = Flow("w").then_flow(child).then(wants_a).build().graph
    last = graph.chain[-1]
    assert isinstance(last, TaskNode)
    assert last.needs[0].path == "child_0/a"


def told(_value: object, *, context: object) -> object:
    return context


def positional(context: object) -> object:
    return context


def test_only_a_keyword_only_parameter_takes_the_context() -> None:
    assert takes_context(told)
    assert not takes_context(positional)
    assert not takes_context(len)


def calls_to_build(branches: int) -> int:
    """How many functions are called, and generators gone on with, by a wide fork."""
    fork = Flow("w").then(a).fork()
    for number in range(branches):
        fork = fork.branch(a, name=f"b{number}")
    flow = fork.join(a)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        flow.build()
    finally:
        sys.setprofile(None)
    return calls


def test_twice_as_many_branches_cost_twice_as_much() -> None:
    assert calls_to_build(400) < 2.2 * calls_to_build(200)

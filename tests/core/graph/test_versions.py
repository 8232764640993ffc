"""Versions of workflows: their order, and which one a start takes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es import Flow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.record import canonical_graph, graph_from_json
from sayiir_es.core.graph.record import record_of_graph as record
from sayiir_es.core.graph.versions import version_order
from sayiir_es.engine.definitions.registry import Registry

IN_ORDER = [
    None,
    "1",
    "2",
    "10",
    "10.1",
    "10.9",
    "10.10",
    "2030-01-02",
    "a",
    "a2",
    "v10",
]


def test_digits_are_compared_as_numbers_and_no_version_is_the_least() -> None:
    mixed = [*IN_ORDER[4:], *IN_ORDER[:4]]
    assert sorted(mixed, key=version_order) == IN_ORDER


@given(st.none() | st.text(), st.none() | st.text())
def test_any_two_versions_can_be_compared(one: str | None, other: str | None) -> None:
    first, second = version_order(one), version_order(other)
    assert (first < second) + (first == second) + (first > second) == 1


def graph(version: str | None, task: str = "a") -> Graph:
    return Graph(name="w", chain=(TaskNode(id=task),), version=version)


def test_the_version_is_in_the_digest_and_not_in_the_hash() -> None:
    plain, first, second = graph(None), graph("1"), graph("2")
    assert len({one.digest for one in (plain, first, second)}) == 3
    assert len({one.definition_hash for one in (plain, first, second)}) == 1
    assert "version" not in json.loads(canonical_graph(plain))
    assert graph_from_json(canonical_graph(second)) == second


def test_a_start_takes_the_greatest_version_and_of_it_the_last_published() -> None:
    registry = Registry()
    for one in (graph("10"), graph("9"), graph(None)):
        registry.publish(record(one))
    assert registry.by_name("w", None) == graph("10")
    assert registry.by_name("w", None, "9") == graph("9")
    assert registry.by_name("w", None, "") == graph(None)
    assert registry.by_name("w", None, "8") is None
    registry.publish(record(graph("10", "b")))
    assert registry.by_name("w", None) == graph("10", "b")
    assert registry.by_name("w", graph("10").definition_hash, "10") == graph("10")
    assert registry.by_name("w", graph("9").definition_hash, "9") == graph("9")
    assert registry.by_name("w", graph("10", "b").definition_hash, "9") is None


def test_of_one_version_the_code_of_this_process_goes_before_what_came_later() -> None:
    registry = Registry()
    own = Flow("w", version="2").then(len, name="a").build()
    registry.register(own)
    registry.publish(record(own.graph))
    registry.publish(record(graph("2", "b")))
    assert registry.by_name("w", None) is own.graph
    registry.publish(record(graph("3")))
    assert registry.by_name("w", None) == graph("3")


def test_a_graph_is_found_by_the_beginning_of_its_digest_or_hash() -> None:
    registry = Registry()
    for one in (graph("1"), graph("2"), graph("1", "b")):
        registry.publish(record(one))
    assert registry.find_graphs("w", graph("1").digest[:12]) == [graph("1")]
    shared = graph("1").definition_hash
    assert registry.find_graphs("w", shared) == [graph("2")]
    assert registry.find_graphs("other", shared) == []
    assert len(registry.find_graphs("w", "")) > 1

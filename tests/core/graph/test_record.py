"""Graphs as the values of records: small ones plain, large ones gzipped."""

from __future__ import annotations

import gzip

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import NODES_MAX, Branch, ForkNode, TaskNode
from sayiir_es.core.graph.record import (
    GRAPH_BYTES_MAX,
    canonical_graph,
    graph_of_record,
    record_of_graph,
)
from sayiir_es.core.model.errors import DecodeError


def fork_of(branches: int) -> Graph:
    """A workflow with a fork that wide."""
    fork = ForkNode(
        id="f",
        branches=tuple(
            Branch(name=f"b{number}", chain=(TaskNode(id=f"b{number}"),))
            for number in range(branches)
        ),
    )
    return Graph(name="w", chain=(fork, TaskNode(id="join")))


@pytest.mark.parametrize(("branches", "most"), [(3, 1000), (10_000, 100_000)])
def test_a_graph_of_any_size_fits_into_a_record_and_comes_back(
    branches: int, most: int
) -> None:
    graph = fork_of(branches)
    value = record_of_graph(graph)
    assert len(value) < most
    assert graph_of_record(value) == graph
    assert record_of_graph(fork_of(branches)) == value


def test_a_small_graph_stays_readable() -> None:
    graph = fork_of(2)
    assert record_of_graph(graph) == canonical_graph(graph)


@pytest.mark.parametrize(
    "value",
    [
        b"\x1f\x8b",
        b"\x1f\x8b nonsense",
        record_of_graph(fork_of(5000))[:-5],
        gzip.compress(b"{nope"),
        gzip.compress(b" " * (GRAPH_BYTES_MAX + 1)),
    ],
    ids=["nothing", "nonsense", "cut", "no JSON", "a bomb"],
)
def test_what_does_not_unpack_is_a_typed_error(value: bytes) -> None:
    with pytest.raises(DecodeError, match="expected"):
        graph_of_record(value)


def test_a_published_graph_has_a_limit_of_nodes() -> None:
    graph_of_record(record_of_graph(fork_of(NODES_MAX - 2)))
    with pytest.raises(DecodeError, match=r"at most 20,000 nodes, but 20,001"):
        graph_of_record(record_of_graph(fork_of(NODES_MAX - 1)))


def test_a_workflow_has_a_limit_of_nodes() -> None:
    def pass_on(value: object) -> object:
        return value

    flow = Flow("wide").fork()
    for number in range(NODES_MAX):
        flow = flow.branch(pass_on, name=f"b{number}")
    with pytest.raises(ValueError, match=r"at most 20,000 nodes, but 20,002"):
        flow.join(pass_on).build()

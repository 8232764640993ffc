"""Paths name every node once; templates forget iterations and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    ForkNode,
    LoopNode,
    RouteNode,
    TaskNode,
)
from sayiir_es.core.graph.paths import (
    decode_segment,
    encode_segment,
    fork_segment,
    occurrence,
    template,
)
from tests.core.programs import Program, programs

A, B, Z = TaskNode(id="a"), TaskNode(id="b"), TaskNode(id="z")


@given(st.text(min_size=1), st.integers(1, 9))
def test_a_name_survives_its_segment(name: str, number: int) -> None:
    segment = occurrence(encode_segment(name), number)
    assert "/" not in segment
    assert decode_segment(segment) == name


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("charge", "charge"),
        ("loop_0@3/step", "loop_0/step"),
        ("loop_0@3/loop_1@12/step#2", "loop_0/loop_1/step#2"),
        ("branch_0/@default/x", "branch_0/@default/x"),
        ("loop_0@3", "loop_0"),
        ("a%403/b", "a%403/b"),
    ],
)
def test_a_template_forgets_iterations_only(path: str, expected: str) -> None:
    assert template(path) == expected


@given(programs())
def test_no_two_nodes_share_a_path(program: Program) -> None:
    places = program.graph.places
    assert [place.order for place in places.values()] == list(range(len(places)))
    assert all(path == template(path) for path in places)


def test_repeated_names_are_told_apart() -> None:
    graph = Graph(name="w", chain=(A, A, B, A))
    assert list(graph.places) == ["a", "a#2", "b", "a#3"]
    assert graph.successor("a") == "a#2"
    assert graph.successor("a#3") is None
    assert graph.find("a") == "a"


def test_a_fork_knows_its_branches_and_its_join() -> None:
    fork = ForkNode(
        id="a||b",
        branches=(Branch(name="a", chain=(A, B)), Branch(name="a", chain=(B,))),
    )
    graph = Graph(name="w", chain=(fork, Z))
    assert list(graph.places) == ["a||b", "a||b/a/a", "a||b/a/b", "a||b/a#2/b", "z"]
    assert graph.joined_fork("z") == "a||b"
    assert graph.joined_fork("a||b/a/b") is None
    inside = graph.container("a||b/a#2")
    assert inside is not None
    assert (inside.path, inside.branch) == ("a||b", "a#2")


def test_a_long_forks_segment_is_short_and_its_own() -> None:
    ids = [f"branch-number-{number}" for number in range(50)]
    first = fork_segment("||".join(ids), ids[0])
    second = fork_segment("||".join(ids[:-1]), ids[0])
    assert first.startswith("branch-number-0||+")
    assert len(first.encode()) < 128
    assert first != second
    assert fork_segment("a||b", "a") == "a||b"


def test_iterations_keep_their_prefix() -> None:
    inner = LoopNode(id="loop_1", body=(A, B))
    graph = Graph(name="w", chain=(LoopNode(id="loop_0", body=(inner, Z)),))
    assert graph.successor("loop_0@3/loop_1@7/a") == "loop_0@3/loop_1@7/b"
    assert graph.successor("loop_0@3/loop_1") == "loop_0@3/z"
    place = graph.place("loop_0@3/loop_1@7/b")
    assert place is not None
    assert place.ends_loop
    inside = graph.container("loop_0@3/loop_1@7")
    assert inside is not None
    assert (inside.path, inside.iteration) == ("loop_0@3/loop_1", 7)


def test_routes_and_children_have_their_own_chains() -> None:
    route = RouteNode(
        id="branch_0",
        keys=("x/y",),
        branches=(Branch(name="x/y", chain=(A,)),),
        default=(B,),
    )
    child = ChildNode(id="child_0", workflow="c", chain=(A,))
    graph = Graph(name="w", chain=(route, child, A))
    assert list(graph.places) == [
        "branch_0",
        "branch_0/x%2Fy/a",
        "branch_0/@default/b",
        "child_0",
        "child_0/a",
        "a",
    ]
    assert graph.find("a") == "branch_0/x%2Fy/a"
    assert graph.place("nowhere") is None
    assert graph.successor("nowhere") is None

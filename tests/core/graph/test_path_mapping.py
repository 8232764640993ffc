"""Paths of one graph as paths of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.consume_confluent import moved, names_of
from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.graph.paths import join, template

NAMES = st.sampled_from(["a", "b", "a||b", "loop_0", "@default", "x%2Fy", "a#2"])
ITERATIONS = st.sampled_from(["", "@0", "@17"])


@st.composite
def paths(draw: st.DrawFn) -> str:
    segments = draw(st.lists(NAMES, min_size=1, max_size=4))
    return "/".join(
        name if name[0] == "@" else name + draw(ITERATIONS) for name in segments
    )


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=3))
    return {
        "/".join(one): "/".join(draw(NAMES) for _ in one) for one in names if len(one)
    }


@given(paths())
def test_without_a_mapping_nothing_moves(path: str) -> None:
    assert PathMapping({}).path(path) == path
    assert PathMapping({}).reference(f"result:{path}") == f"result:{path}"


@given(paths(), mappings())
def test_a_path_stays_as_deep_and_in_its_iterations(
    path: str, mapping: dict[str, str]
) -> None:
    new = PathMapping(mapping).path(path)
    assert new.count("/") == path.count("/")
    assert [one.partition("@")[2] for one in new.split("/") if one[0] != "@"] == [
        old.partition("@")[2]
        for old, one in zip(path.split("/"), new.split("/"), strict=True)
        if one[0] != "@"
    ] or "@default" in f"{path} {new}"


@given(paths(), mappings())
def test_a_consumer_moves_paths_alike(path: str, mapping: dict[str, str]) -> None:
    ours = PathMapping(mapping)
    if ours.conflict is None:
        assert moved(path, names_of(mapping)) == ours.path(path)


@given(mappings())
def test_what_is_mapped_is_where_it_says(mapping: dict[str, str]) -> None:
    ours = PathMapping(mapping)
    if ours.conflict is None:
        for old, new in mapping.items():
            assert ours.path(old) == new
            assert ours.path(join(old, "in/it")) == join(new, "in/it")
            assert template(ours.path(f"{old}@3")) == template(f"{new}@3")


@pytest.mark.parametrize(
    "mapping",
    [
        {"a": "b/c"},
        {"a/b": "c"},
        {"a": ""},
        {"a/b": "x/b", "a/c": "y/c"},
        {"a/b": "x//b"},
    ],
)
def test_what_leads_nowhere_or_to_two_places_is_a_conflict(
    mapping: dict[str, str],
) -> None:
    assert PathMapping(mapping).conflict in mapping


def test_references_move_with_their_paths() -> None:
    mapping = PathMapping({"a||b/b/b": "a||c/c/c", "loop_0": "turns"})
    assert {one: mapping.reference(one) for one in REFERENCES} == REFERENCES


REFERENCES = {
    "start": "start",
    "null": "null",
    "signal:7": "signal:7",
    "retried:3": "retried:3",
    "result:a||b/b/b": "result:a||c/c/c",
    "joined:a||b": "joined:a||c",
    "routed:loop_0@2/r": "routed:turns@2/r",
    "value:loop_0@4": "value:turns@4",
}

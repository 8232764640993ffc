"""Whatever stands in a closed union is registered: nodes, waits and events."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, get_args

import pytest

from sayiir_es.core.evolve.evolve import EVENTS
from sayiir_es.core.evolve.lifecycle import RUN_EVENTS
from sayiir_es.core.graph.nodes import DelayNode, Node
from sayiir_es.core.model.events import Body
from sayiir_es.core.model.waits import Wait
from sayiir_es.core.nodes.registry import NODE_EVENTS, NODES, WAITS

if TYPE_CHECKING:
    from collections.abc import Collection

UNIONS: dict[str, tuple[object, Collection[type]]] = {
    "Node": (Node, NODES),
    "Wait": (Wait, WAITS),
    "Body": (Body, EVENTS),
}


def missing(union: object, registry: Collection[type]) -> list[str]:
    """The names of the classes of a union that a registry lacks."""
    return [kind.__name__ for kind in get_args(union) if kind not in registry]


@pytest.mark.parametrize("name", UNIONS)
def test_every_kind_of_a_union_is_registered(name: str) -> None:
    union, registry = UNIONS[name]
    assert missing(union, registry) == []
    assert set(registry) == set(get_args(union))


def test_what_is_not_registered_is_named() -> None:
    lacking = {kind for kind in NODES if kind is not DelayNode}
    assert missing(Node, lacking) == ["DelayNode"]


def test_no_event_is_registered_twice() -> None:
    assert not NODE_EVENTS.keys() & RUN_EVENTS.keys()


def test_references_and_sequences_are_fields_of_their_event() -> None:
    for body, kind in EVENTS.items():
        names = {field.name for field in fields(body)}
        assert {*kind.references, *kind.sequences} <= names, body

"""Histories for tests: what a scenario left, with places on a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.history import History
from sayiir_es.engine.valid_events import FoundEvent
from sayiir_es.testing import given
from tests.operations.rich_workflow import rich

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event

ORDER = {"customer": "ana", "amount": 5, "card": "4111"}


def history_of(events: Sequence[Event], *graphs: Graph) -> History:
    """The history of the instance of some events, on partition 3 from offset 10 on."""
    return History(
        instance_id=events[0].instance_id,
        events=tuple(
            FoundEvent(partition=3, offset=10 + n, event=event)
            for n, event in enumerate(events)
        ),
        graphs={graph.digest: graph for graph in graphs},
    )


def rich_history() -> History:
    """A run with everything in it, which failed and was undone."""
    scenario = given(rich, ORDER).to_the_end().signal("approval", {"ok": True})
    return history_of(scenario.to_the_end().result.events, rich.graph)

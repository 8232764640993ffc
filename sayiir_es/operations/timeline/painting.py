"""The states of a timeline's lanes, to be painted on the nodes of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.operations.drawing.painting import NodePaint, Painting

if TYPE_CHECKING:
    from sayiir_es.operations.timeline.lanes import Timeline


def painting_of(timeline: Timeline) -> Painting:
    """The painting of a graph by how far an instance is."""
    return Painting(
        nodes={
            lane.path: NodePaint(state=lane.state, attempts=lane.attempts)
            for lane in timeline.lanes
            if lane.path
        }
    )

"""The tabs that are drawn: the timeline, and the graph with the state on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from sayiir_es.operations.drawing.svg import draw_svg_in_page
from sayiir_es.operations.text import visible
from sayiir_es.operations.timeline.axis import Axis, Mark, span_text
from sayiir_es.operations.timeline.folding import timeline_of
from sayiir_es.operations.timeline.painting import painting_of
from sayiir_es.operations.timeline.svg import lane_svg, percent

if TYPE_CHECKING:
    from sayiir_es.operations.timeline.lanes import Lane, Timeline
    from sayiir_es.web.pages.instance.shown import Query, ShownInstance

EDGE = 0.04
"""So near to an end of the axis a label begins or ends at its place."""

NODES_MAX = 1_000
"""A graph of more nodes is no drawing that helps, and megabytes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownLane:
    """A lane and its drawing."""

    lane: Lane
    svg: Markup
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMark:
    """A label of the axis; `place` is a length of SVG."""

    place: str
    anchor: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineTab:
    """All lanes with their drawings."""

    timeline: Timeline
    lanes: tuple[ShownLane, ...]
    marks: tuple[ShownMark, ...]
    span: str
    scale: str
    has_graph: bool


def timeline_tab(shown: ShownInstance, query: Query, now_ms: int) -> TimelineTab:
    """The timeline of an instance."""
    timeline = _timeline(shown, now_ms)
    axis = Axis(timeline, query.scale)

    def say(text: str) -> str:
        return visible(shown.masking.text(text))

    return TimelineTab(
        timeline=timeline,
        lanes=tuple(
            ShownLane(
                lane=lane,
                svg=Markup(lane_svg(lane, timeline, axis, say)),  # noqa: S704 (it escapes)
                link=shown.link(tab="graph", name=lane.path) if lane.path else None,
            )
            for lane in timeline.lanes
        ),
        marks=tuple(map(_mark, axis.marks())),
        span=span_text(axis.span_ms),
        scale=query.scale,
        has_graph=shown.history.graph is not None,
    )


def _mark(mark: Mark) -> ShownMark:
    anchor = "middle"
    if not EDGE < mark.place < 1 - EDGE:
        anchor = "start" if mark.place <= EDGE else "end"
    return ShownMark(place=percent(mark.place), anchor=anchor, label=mark.label)


def _timeline(shown: ShownInstance, now_ms: int) -> Timeline:
    """The timeline; in a file nothing goes on beyond its last event."""
    events = [entry.event for entry in shown.history.events]
    until = now_ms if shown.is_live else events[-1].at
    return timeline_of(events, now_ms=until, graph=shown.history.graph)


def graph_drawing(shown: ShownInstance, now_ms: int) -> Markup | None:
    """The graph with the state painted on it; None if unknown, or too large."""
    graph = shown.history.graph
    if graph is None or len(graph.places) > NODES_MAX:
        return None
    svg = draw_svg_in_page(
        graph,
        painting=painting_of(_timeline(shown, now_ms)),
        address=lambda path: shown.link(tab="graph", name=path),
    )
    return Markup(svg)  # noqa: S704 (what users wrote is escaped there)

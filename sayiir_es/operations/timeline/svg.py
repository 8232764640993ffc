"""The bars of one lane as SVG.

Theory of operation. A lane is a drawing of its own, as wide as the page lets it be: the
places are percent, so nothing is scaled, and letters and heights stay as they are on a
telephone. There is no style in it, only names of classes: a page says what they look
like, and its policy may forbid styles inside of documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from sayiir_es.operations.text import visible
from sayiir_es.operations.timeline.sentences import (
    bar_sentence,
    lane_sentence,
    tick_sentence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.operations.timeline.axis import Axis
    from sayiir_es.operations.timeline.lanes import Bar, Lane, Tick, Timeline

HEIGHT_PX = 26
BAR_PX = 14
THIN_PX = 6
"""Of bars that are a wait and no work."""

NARROW = 0.004
"""A bar is drawn at least so wide: it must be seen, and found by a mouse."""

_THIN = frozenset(("queued", "backoff", "delay", "signal", "held"))


def lane_svg(
    lane: Lane,
    timeline: Timeline,
    axis: Axis,
    say: Callable[[str], str] = visible,
) -> str:
    """The drawing of a lane; whatever a user wrote in it is escaped.

    `say` makes the words of bars and ticks fit to be shown.
    """
    sentence = say(lane_sentence(lane, timeline) or lane.title)
    size = f'width="100%" height="{HEIGHT_PX}"'
    name = quoteattr(sentence)
    parts = [f'<svg class="lane" {size} role="img" aria-label={name}>']
    parts += [
        f'<line class="grid" x1="{percent(mark.place)}" x2="{percent(mark.place)}" '
        f'y1="0" y2="{HEIGHT_PX}"/>'
        for mark in axis.marks()
    ]
    for bar in lane.bars:
        parts.extend(_bar(bar, axis, timeline.end, say(bar_sentence(bar, timeline))))
    for tick in lane.ticks:
        parts.append(_tick(tick, axis, say(tick_sentence(tick, timeline))))
    return "".join([*parts, "</svg>"])


def _bar(bar: Bar, axis: Axis, end: float, words: str) -> Iterator[str]:
    left = axis.place(bar.start)
    right = axis.place(end if bar.end is None else bar.end)
    left = min(left, 1 - NARROW)
    width = max(right - left, NARROW)
    height = THIN_PX if bar.kind in _THIN else BAR_PX
    if bar.kind in ("inside", "run"):
        height = 2
    y = (HEIGHT_PX - height) / 2
    yield (
        f'<g class="bar {bar.kind} {bar.state}"><title>'
        f"{escape(words)}</title>"
        f'<rect x="{percent(left)}" width="{percent(width)}" y="{y:g}" '
        f'height="{height}" rx="{min(height / 2, 3):g}"/>'
    )
    if bar.state in ("failed", "retried"):
        yield _cross(left + width)
    yield "</g>"


def _cross(place: float) -> str:
    """A mark that needs no colour, at the end of a bar."""
    middle = HEIGHT_PX / 2
    return (
        f'<svg x="{percent(place)}" y="{middle:g}" overflow="visible">'
        '<path class="cross" d="M-8-4l6 8M-2-4l-6 8"/></svg>'
    )


def _tick(tick: Tick, axis: Axis, words: str) -> str:
    place = percent(axis.place(tick.at))
    return (
        f'<g class="tick {tick.kind}"><title>'
        f"{escape(words)}</title>"
        f'<line x1="{place}" x2="{place}" y1="3" y2="{HEIGHT_PX - 3}"/></g>'
    )


def percent(place: float) -> str:
    """A place or a width, as SVG takes it."""
    return f"{100 * place:.3f}".rstrip("0").rstrip(".") + "%"

"""What the bars and ticks of a timeline say in words: tooltips, and for who sees none.

Whatever a user wrote is as it is here: who shows it makes it safe for its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.instants import instant
from sayiir_es.operations.timeline.axis import span_text

if TYPE_CHECKING:
    from sayiir_es.operations.timeline.lanes import Bar, Lane, Tick, Timeline

BARS_SAID = 12
"""Of one lane; how many more there are is said."""

_STATES = {
    "open": "goes on",
    "done": "",
    "failed": "failed",
    "retried": "failed, tried again",
    "ended": "ended",
}


def bar_sentence(bar: Bar, timeline: Timeline) -> str:
    """A bar in words: what it was, how long it took, how it ended."""
    end = timeline.end if bar.end is None else bar.end
    parts = [bar.label]
    state = _STATES[bar.state]
    if state:
        parts.append(state)
    parts.append(span_text(end - bar.start))
    if bar.state == "open" and bar.due_at is not None:
        parts.append(f"until {instant(bar.due_at)}")
    if bar.detail:
        parts.append(bar.detail)
    return ", ".join(parts)


def tick_sentence(tick: Tick, timeline: Timeline) -> str:
    """A tick in words, with how long after the start it was."""
    return f"{tick.label}, at +{span_text(tick.at - timeline.start)}"


def lane_sentence(lane: Lane, timeline: Timeline) -> str:
    """All of a lane in words."""
    parts = [bar_sentence(bar, timeline) for bar in lane.bars[-BARS_SAID:]]
    before = len(lane.bars) + lane.left_out - len(parts)
    if before > 0:
        parts.insert(0, f"{before:,} before")
    parts += [tick_sentence(tick, timeline) for tick in lane.ticks[-BARS_SAID:]]
    return "; ".join(parts)

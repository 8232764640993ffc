"""Where a time stands on a timeline, from 0 to 1, and which times are written there.

Two scales: by time, and by order. On the second one each event is as far from the next
as any other, so that a task of 20 ms can be seen beside a wait of 30 days.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from sayiir_es.operations.timeline.lanes import Timeline

Scale: TypeAlias = Literal["time", "order"]

MARKS_MAX = 6
"""So many labels fit beside each other on a small screen, too."""

_S, _M, _H, _D = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(_S, 2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S),
    *(_M, 2 * _M, 5 * _M, 10 * _M, 15 * _M, 30 * _M),
    *(_H, 2 * _H, 3 * _H, 6 * _H, 12 * _H),
    *(_D, 2 * _D, 5 * _D, 10 * _D, 15 * _D, 30 * _D),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A label of the axis, and where it stands."""

    place: float
    label: str


class Axis:
    """The axis of a timeline on one of the scales."""

    def __init__(self, timeline: Timeline, scale: Scale = "time") -> None:
        self._start, self._end = timeline.start, timeline.end
        self._moments: tuple[float, ...] = ()
        if scale == "order" and len(timeline.moments) > 1:
            ends = () if timeline.moments[-1] >= timeline.end else (timeline.end,)
            self._moments = (*timeline.moments, *ends)

    @property
    def span_ms(self) -> float:
        """How long the timeline is."""
        return self._end - self._start

    def place(self, at: float) -> float:
        """Where a time stands; times outside stand at the ends."""
        at = min(max(at, self._start), self._end)
        if not self._moments:
            return (at - self._start) / self.span_ms if self.span_ms else 0.0
        before = bisect_right(self._moments, at) - 1
        last = len(self._moments) - 1
        if before >= last:
            return 1.0
        low, high = self._moments[before], self._moments[before + 1]
        return (before + (at - low) / (high - low)) / last

    def marks(self) -> tuple[Mark, ...]:
        """The labels: times since the start."""
        if self._moments:
            return self._marks_of_moments()
        step = step_ms(self.span_ms)
        count = int(self.span_ms // step)
        return tuple(
            Mark(place=self.place(self._start + n * step), label=span_text(n * step))
            for n in range(count + 1)
        )

    def _marks_of_moments(self) -> tuple[Mark, ...]:
        last = len(self._moments) - 1
        wanted = min(MARKS_MAX, last)
        numbers = sorted({round(n * last / wanted) for n in range(wanted + 1)})
        marks: list[Mark] = []
        for n in numbers:
            label = span_text(self._moments[n] - self._start)
            if not marks or marks[-1].label != label:  # many within a moment
                marks.append(Mark(place=n / last, label=label))
        return tuple(marks)


def step_ms(span_ms: float) -> int:
    """The time between two labels: a round one, so that they are not too many."""
    for step in _STEPS_MS:
        if span_ms / step <= MARKS_MAX:
            return step
    months = -(-span_ms // (MARKS_MAX * _STEPS_MS[-1]))
    return int(months) * _STEPS_MS[-1]


_UNITS = ((_D, "d"), (_H, "h"), (_M, "min"), (_S, "s"))


def span_text(span_ms: float) -> str:
    """A time span for people, in two units at most: `2 d 3 h`, `1.25 s`, `40 ms`."""
    if span_ms < 1:
        return "0" if span_ms <= 0 else "< 1 ms"
    if span_ms < _S:
        return f"{round(span_ms)} ms"
    if span_ms < _M:
        return f"{span_ms / _S:.2f}".rstrip("0").rstrip(".") + " s"
    units = (*_UNITS, (_S, ""))
    for (size, unit), (smaller, name) in pairwise(units):
        if span_ms >= size:
            count, rest = divmod(int(span_ms), size)
            part = rest // smaller
            return f"{count:,} {unit} {part} {name}" if part else f"{count:,} {unit}"
    return f"{span_ms / _S:.0f} s"

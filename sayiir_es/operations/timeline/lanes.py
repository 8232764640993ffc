"""A timeline as data: lanes with bars and ticks, whatever draws them.

Times are milliseconds since the epoch, as floats: events of one millisecond stand at
fractions of it, in their order, so that also a run of less than a millisecond has bars
one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

LaneKind: TypeAlias = Literal[
    "run",
    "task",
    "compensation",
    "delay",
    "signal",
    "fork",
    "branch",
    "route",
    "loop",
    "child",
    "try",
]
BarKind: TypeAlias = Literal[
    "attempt", "queued", "backoff", "delay", "signal", "inside", "run", "held"
]
"""`queued` waits for a slot, `backoff` for the next attempt, `held` for a person."""

BarState: TypeAlias = Literal["open", "done", "failed", "retried", "ended"]
"""`retried` failed and another attempt follows; `ended` came to nothing."""

TickKind: TypeAlias = Literal["rejection", "signal", "request", "note"]

NodeState: TypeAlias = Literal[
    "done", "running", "waiting", "failed", "undone", "stopped"
]
"""What a lane says of its node at the end of the timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that took time; `end` is None while it goes on.

    `sequence` is that of the event that it began with, `due_at` when it ends by itself.
    """

    kind: BarKind
    state: BarState
    start: float
    end: float | None
    label: str
    detail: str = ""
    sequence: int = 0
    due_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Something that happened at a moment."""

    kind: TickKind
    at: float
    label: str
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What happened at one node, over all of its iterations and attempts.

    `path` has no iterations and is empty for the run itself; `depth` counts the lanes
    around it. `left_out` bars came before the first one.
    """

    path: str
    kind: LaneKind
    title: str
    depth: int
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    left_out: int = 0
    is_undone: bool = False

    @property
    def attempts(self) -> int:
        """How many attempts began."""
        return sum(bar.kind == "attempt" for bar in self.bars) + self.left_out

    @property
    def state(self) -> NodeState:
        """How it stands with the node at the end."""
        if self.is_undone:
            return "undone"
        last = self.bars[-1] if self.bars else None
        if last is None or last.state == "done":
            return "done"
        if last.state == "open":
            if last.kind in ("attempt", "run", "inside"):
                return "running"
            return "stopped" if last.kind == "held" else "waiting"
        return "failed" if last.state in ("failed", "retried") else "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All lanes, each below what it is inside of, from `start` to `end`.

    `moments` are the times of all events that changed something, in order. `left_out`
    lanes are not here. While it `goes_on`, `end` is the time at which it was made.
    """

    start: float
    end: float
    lanes: tuple[Lane, ...]
    moments: tuple[float, ...]
    goes_on: bool
    left_out: int = 0

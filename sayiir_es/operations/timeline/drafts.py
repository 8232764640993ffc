"""Lanes while events are read: bars that are open, and those that ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import decode_segment, is_compensation, template
from sayiir_es.operations.timeline.lanes import Bar, Lane, LaneKind, Tick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sayiir_es.core.graph.path_mapping import PathMapping
    from sayiir_es.operations.drawing.node_text import NodeText
    from sayiir_es.operations.timeline.lanes import BarState

BARS_MAX = 300
"""Bars and ticks of one lane; of a loop of thousands of iterations the last ones."""

RUN = ""
"""The path of the lane of the run itself."""


@dataclass(slots=True, kw_only=True)
class LaneDraft:
    """A lane that is being made."""

    path: str
    kind: LaneKind
    title: str
    bars: list[Bar] = field(default_factory=list[Bar])
    ticks: list[Tick] = field(default_factory=list[Tick])
    left_out: int = 0
    is_undone: bool = False

    def add(self, bar: Bar) -> None:
        """Add a bar that has ended."""
        self.bars.append(bar)
        if len(self.bars) > 2 * BARS_MAX:
            self.left_out += len(self.bars) - BARS_MAX
            del self.bars[:-BARS_MAX]

    def mark(self, tick: Tick) -> None:
        """Add a tick."""
        self.ticks.append(tick)
        if len(self.ticks) > 2 * BARS_MAX:
            del self.ticks[:-BARS_MAX]


class Drafts:
    """All lanes that are being made, and what is open at a path."""

    def __init__(self) -> None:
        self.lanes: dict[str, LaneDraft] = {}
        self._open: dict[tuple[str, str], Bar] = {}

    def lane(self, path: str, kind: LaneKind = "task") -> LaneDraft:
        """The lane of a path; it is made as one of that kind where there is none."""
        name = template(path)
        lane = self.lanes.get(name)
        if lane is None:
            if kind == "task" and is_compensation(name):
                kind = "compensation"
            lane = LaneDraft(path=name, kind=kind, title=_title(name, kind))
            self.lanes[name] = lane
        return lane

    def open(self, path: str, bar: Bar, kind: LaneKind = "task") -> None:
        """Something begins at a path; what was open there ends."""
        self.lane(path, kind)
        self.close(path, bar.start, "ended", of_run=bar.kind)
        self._open[self._key(path, bar.kind)] = bar

    def close(
        self,
        path: str,
        at: float,
        state: BarState = "done",
        detail: str = "",
        *,
        of_run: str = "",
    ) -> None:
        """What is open at a path ends."""
        bar = self._open.pop(self._key(path, of_run), None)
        if bar is not None:
            start, detail = min(bar.start, at), detail or bar.detail
            ended = replace(bar, start=start, end=at, state=state, detail=detail)
            self.lane(path).add(ended)

    def get(self, path: str) -> Bar | None:
        """What is open at a path."""
        return self._open.get((path, ""))

    def drop(self, path: str) -> None:
        """What is open at a path never was."""
        self._open.pop((path, ""), None)

    def close_inside(self, path: str, at: float) -> None:
        """What is open inside of a path came to nothing."""
        for inner, kind in tuple(self._open):
            if inner.startswith(path + "/"):
                self.close(inner, at, "ended", of_run=kind)

    def rename(self, mapping: PathMapping) -> None:
        """What is open goes on at other paths."""
        self._open = {
            (mapping.path(path), kind): bar for (path, kind), bar in self._open.items()
        }

    def close_all(self, at: float) -> None:
        """Nothing goes on any more."""
        for path, of_run in tuple(self._open):
            if path != RUN:
                self.close(path, at, "ended", of_run=of_run)

    def still_open(self) -> Iterable[tuple[str, Bar]]:
        """What goes on at the end, with its path."""
        return ((path, bar) for (path, _), bar in self._open.items())

    @staticmethod
    def _key(path: str, kind: str) -> tuple[str, str]:
        return (path, kind if path == RUN else "")


def ordered(drafts: Sequence[LaneDraft], texts: Mapping[str, NodeText]) -> list[Lane]:
    """Lanes below what they are inside of; those beside each other as they began."""
    first: dict[str, int] = {}
    for number, draft in enumerate(drafts):
        for prefix in _prefixes(draft.path):
            first.setdefault(prefix, number)
    ranked = sorted(
        drafts, key=lambda draft: [first[prefix] for prefix in _prefixes(draft.path)]
    )
    paths = {draft.path for draft in drafts}
    return [
        Lane(
            path=draft.path,
            kind=draft.kind,
            title=_shown_title(draft, texts),
            depth=sum(prefix in paths for prefix in _prefixes(draft.path)[:-1]),
            bars=tuple(draft.bars[-BARS_MAX:]),
            ticks=tuple(draft.ticks[-BARS_MAX:]),
            left_out=draft.left_out + max(len(draft.bars) - BARS_MAX, 0),
            is_undone=draft.is_undone,
        )
        for draft in ranked
    ]


def _prefixes(path: str) -> list[str]:
    """The paths of all that a path is inside of, and itself; the run has none."""
    if path == RUN:
        return []
    segments = path.split("/")
    return ["/".join(segments[: n + 1]) for n in range(len(segments))]


def _shown_title(draft: LaneDraft, texts: Mapping[str, NodeText]) -> str:
    text = texts.get(draft.path)
    return draft.title if text is None or draft.kind == "compensation" else text.title


def _title(path: str, kind: LaneKind) -> str:
    match kind:
        case "run":
            return "run"
        case "fork":
            return "fork"
        case "compensation":
            task = path.rpartition("/")[0].rpartition("/")[2]
            return f"undo {decode_segment(task)}"
        case _:
            return _named(path.rpartition("/")[2])


def _named(segment: str) -> str:
    if segment.startswith("@"):
        return {"@default": "otherwise"}.get(segment, segment[1:].replace("_", " "))
    bare, mark, number = segment.partition("#")
    return f"{decode_segment(bare)} #{number}" if mark else decode_segment(bare)

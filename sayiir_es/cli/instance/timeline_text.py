"""A timeline in a terminal: a line a lane, a character for a piece of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sayiir_es.operations.text import format_time, visible
from sayiir_es.operations.timeline.axis import Axis, span_text

if TYPE_CHECKING:
    from sayiir_es.operations.timeline.axis import Scale
    from sayiir_es.operations.timeline.lanes import Bar, Lane, Timeline

TITLE_CELLS_MAX = 32
BARS_CELLS_MIN, BARS_CELLS_MAX = 20, 120
"""How wide the bars are: as the terminal allows. A pipe would allow any width."""

_FILLS = {
    "attempt": "█",
    "run": "─",
    "inside": "─",
    "queued": "·",
    "backoff": "·",
    "delay": "░",
    "signal": "░",
    "held": "░",
}
_STYLES = {
    "open": "cyan",
    "done": "green",
    "failed": "red",
    "retried": "yellow",
    "ended": "dim",
}
_TICKS = {"rejection": "╎", "signal": "▾", "request": "!", "note": "•"}

LEGEND = "█ attempt  ░ delay or signal  · backoff  ✗ failed  ▸ goes on  ▾ signal came"


def draw_timeline(timeline: Timeline, scale: Scale, *, width: int) -> list[Text]:
    """The lines: lanes, the axis below them, and what the characters mean."""
    axis = Axis(timeline, scale)
    titles = [_title(lane) for lane in timeline.lanes]
    room = min(max(map(cell_len, titles), default=0), TITLE_CELLS_MAX)
    cells = max(width - room - 2 - _STATE_CELLS, BARS_CELLS_MIN)
    cells = min(cells, BARS_CELLS_MAX)
    lines: list[Text] = []
    for lane, title in zip(timeline.lanes, titles, strict=True):
        text = Text(_fit(title, room) + "  ", style="bold" if not lane.depth else "")
        text.append_text(_bars(lane, timeline, axis, cells))
        text.append(f"  {lane.state}", style="dim")
        lines.append(text)
    if timeline.left_out:
        lines.append(Text(f"… and {timeline.left_out:,} more lanes", style="dim"))
    lines.append(Text(" " * (room + 2) + _axis_line(axis, cells), style="dim"))
    span = span_text(axis.span_ms)
    from_when = f"from {format_time(int(timeline.start))}, {span}"
    lines.append(Text(f"{from_when}{' so far' * timeline.goes_on}", style="dim"))
    lines.append(Text(LEGEND, style="dim"))
    return lines


_STATE_CELLS = 10


def _title(lane: Lane) -> str:
    return "  " * lane.depth + visible(lane.title)


def _fit(title: str, room: int) -> str:
    if cell_len(title) <= room:
        return set_cell_size(title, room)
    return set_cell_size(title, room - 1) + "…"


def _bars(lane: Lane, timeline: Timeline, axis: Axis, cells: int) -> Text:
    row: list[tuple[str, str]] = [(" ", "")] * cells
    for bar in lane.bars:
        _paint(row, bar, timeline, axis)
    for tick in lane.ticks:
        at = min(int(axis.place(tick.at) * cells), cells - 1)
        row[at] = (_TICKS[tick.kind], "magenta" if tick.kind == "signal" else "dim")
    text = Text()
    for character, style in row:
        text.append(character, style=style)
    return text


def _paint(
    row: list[tuple[str, str]], bar: Bar, timeline: Timeline, axis: Axis
) -> None:
    cells = len(row)
    end = timeline.end if bar.end is None else bar.end
    first = min(int(axis.place(bar.start) * cells), cells - 1)
    last = min(max(round(axis.place(end) * cells), first + 1), cells)
    fill, style = _FILLS[bar.kind], _STYLES[bar.state]
    for cell in range(first, last):
        row[cell] = (fill, style)
    if bar.state in ("failed", "retried") and bar.kind not in ("run", "inside"):
        row[last - 1] = ("✗", style)
    elif bar.state == "open":
        row[last - 1] = ("▸", style)


def _axis_line(axis: Axis, cells: int) -> str:
    line = [" "] * cells
    free = 0
    for mark in axis.marks():
        at = int(mark.place * cells)
        at = min(at, max(cells - len(mark.label), 0))
        if at >= free and at + len(mark.label) <= cells:
            line[at : at + len(mark.label)] = mark.label
            free = at + len(mark.label) + 1
    return "".join(line).rstrip()

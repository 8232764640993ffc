"""A workflow drawn with the line characters of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from rich.cells import cell_len
from rich.text import Text

from sayiir_es.operations.drawing.layout import Arrow, Box, Label, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.operations.drawing.layout import Shape
    from sayiir_es.operations.drawing.node_text import Kind

_ROUND = ("╭", "╮", "╰", "╯")
_SQUARE = ("┌", "┐", "└", "┘")
_STYLES: dict[Kind, str] = {
    "task": "bold",
    "join": "bold",
    "delay": "blue",
    "signal": "magenta",
    "fork": "cyan",
    "route": "yellow",
    "loop": "yellow",
    "child": "cyan",
    "try": "cyan",
}

_BLANK: tuple[str, str] = (" ", "")


class _Sheet:
    """Cells to paint on; a wide character takes its cell and the empty one after it."""

    def __init__(self, width: int, height: int) -> None:
        self._cells = [[_BLANK] * width for _ in range(height)]

    def put(self, x: int, y: int, text: str, style: str) -> None:
        row = self._cells[y]
        for character in text:
            width = cell_len(character)
            if not width:  # it joins the one before
                before, its_style = row[x - 1]
                row[x - 1] = (before + character, its_style)
                continue
            row[x] = (character, style)
            for more in range(1, width):
                row[x + more] = ("", style)
            x += width

    def rows(self) -> Iterator[Text]:
        for row in self._cells:
            text = Text()
            for character, style in row:
                text.append(character, style=style)
            text.rstrip()
            yield text


def draw_text(graph: Graph, *, width: int) -> list[Text]:
    """The lines of a drawing, in `width` cells where that can be."""
    drawing = layout(graph, width=width)
    sheet = _Sheet(drawing.width, drawing.height)
    for shape in drawing.shapes:
        _draw(sheet, shape)
    for shape in drawing.shapes:  # on the borders, which are all there now
        if isinstance(shape, Arrow):
            sheet.put(shape.x, shape.y - 1, "┬", "dim")
            sheet.put(shape.x, shape.y, "▼", "dim")
    return list(sheet.rows())


def _draw(sheet: _Sheet, shape: Shape) -> None:
    match shape:
        case Box():
            _draw_box(sheet, shape)
        case Label():
            sheet.put(shape.x, shape.y, shape.text, "italic")
        case Arrow():
            pass
        case _:
            assert_never(shape)


def _draw_box(sheet: _Sheet, box: Box) -> None:
    left_up, right_up, left_low, right_low = _SQUARE if box.is_frame else _ROUND
    edge = "─" * (box.width - 2)
    last = box.y + box.height - 1
    sheet.put(box.x, box.y, left_up + edge + right_up, "dim")
    for y in range(box.y + 1, last):
        sheet.put(box.x, y, "│", "dim")
        sheet.put(box.x + box.width - 1, y, "│", "dim")
    sheet.put(box.x, last, left_low + edge + right_low, "dim")
    style = _STYLES[box.text.kind]
    if box.is_frame:
        sheet.put(box.x + 2, box.y, f" {box.lines[0]} ", style)
        return
    for number, line in enumerate(box.lines):
        sheet.put(box.x + 2, box.y + 1 + number, line, "" if number else style)

"""A workflow as an SVG file: the terminal's drawing, with a cell of a few pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len

from sayiir_es.operations.drawing.layout import Arrow, Box, Label, Shape, layout
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.graph.graph import Graph

WIDTH_CELLS = 160
"""Chains of a fork go below each other from here on: pages are wide."""

CELL_PX = 8
"""A little more than a character of the font below is wide."""

LINE_PX = 18
MARGIN_PX = 12
BASELINE_PX = 13
"""From the upper edge of a line to the baseline of its letters."""

_STYLE = """
svg{background:#fff}
text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}
rect{fill:#fff;stroke:#8c959f}
.frame{fill:none;stroke-dasharray:4 3}
.option,.name,.title{fill:#59636e;font-size:12px}
.behind{stroke:none}
.task,.join{stroke:#1a7f37}.delay{stroke:#0969da}.signal{stroke:#8250df}
path{stroke:#59636e;fill:none}marker path{fill:#59636e;stroke:none}
@media(prefers-color-scheme:dark){
svg{background:#0d1117}
text{fill:#f0f6fc}rect{fill:#151b23}.frame{fill:none}.behind{fill:#0d1117}
.option,.name,.title{fill:#9198a1}}
"""
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    'width="{width}" height="{height}" role="img" aria-label={name}>'
)
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)


def draw_svg(graph: Graph, *, has_style: bool = True) -> str:
    """The text of an SVG file; whatever a user wrote in it is escaped.

    Without a style the colours are those of the page that it stands in.
    """
    drawing = layout(graph, width=WIDTH_CELLS)
    width = drawing.width * CELL_PX + 2 * MARGIN_PX
    height = drawing.height * LINE_PX + 2 * MARGIN_PX
    parts = [
        _HEAD.format(width=width, height=height, name=quoteattr(visible(graph.name))),
        f"<style>{_STYLE}</style>" if has_style else "",
        _TIP,
    ]
    # Arrows last: a tip may touch the title on the edge of a frame.
    for shape in sorted(drawing.shapes, key=lambda one: isinstance(one, Arrow)):
        parts.extend(_draw(shape))
    return "\n".join([*parts, "</svg>"])


def _draw(shape: Shape) -> Iterator[str]:
    match shape:
        case Box():
            yield from _box(shape)
        case Label():
            yield _text(shape.x, shape.y, shape.text, "name")
        case Arrow():
            x = _x(shape.x) + CELL_PX // 2
            # From the edge of one box to that of the next: half a line inside each.
            yield (
                f'<path d="M{x} {_y(shape.y) - LINE_PX // 2}V'
                f'{_y(shape.y) + 3 * LINE_PX // 2}" marker-end="url(#tip)"/>'
            )
        case _:
            assert_never(shape)


def _box(box: Box) -> Iterator[str]:
    """Edges run through the middle of their cells, as line characters do."""
    kind = f"{box.text.kind}{' frame' if box.is_frame else ''}"
    yield (
        f'<g><title>{escape(visible(box.path))}</title><rect class="{kind}" '
        f'x="{_x(box.x) + CELL_PX // 2}" y="{_y(box.y) + LINE_PX // 2}" rx="6" '
        f'width="{(box.width - 1) * CELL_PX}" height="{(box.height - 1) * LINE_PX}"/>'
    )
    if box.is_frame:
        title = box.lines[0]
        yield (  # the title is drawn on the edge
            f'<rect class="behind" x="{_x(box.x + 2)}" y="{_y(box.y)}" '
            f'width="{(cell_len(title) + 2) * CELL_PX}" height="{LINE_PX}"/>'
        )
        yield _text(box.x + 3, box.y, title, "title")
    else:
        for number, line in enumerate(box.lines):
            style = "option" if number else ""
            yield _text(box.x + 2, box.y + 1 + number, line, style)
    yield "</g>"


def _text(x: int, y: int, text: str, style: str) -> str:
    name = f' class="{style}"' if style else ""
    place = f'x="{_x(x)}" y="{_y(y) + BASELINE_PX}"'
    return f"<text{name} {place}>{escape(text)}</text>"


def _x(cells: int) -> int:
    return MARGIN_PX + cells * CELL_PX


def _y(lines: int) -> int:
    return MARGIN_PX + lines * LINE_PX

"""A workflow as SVG: the terminal's drawing, with a cell of a few pixels.

As a file it has a style of its own. In a page it has names of classes alone, for a
policy may forbid styles inside of documents; there its nodes may be links, and have the
states of an instance painted on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len

from sayiir_es.operations.drawing.layout import Arrow, Box, Label, layout
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.operations.drawing.layout import Drawing, Shape
    from sayiir_es.operations.drawing.painting import Painting

WIDTH_CELLS = 160
"""Chains of a fork go below each other from here on: pages are wide."""

STATE_CELLS = 14
"""As `◷ waiting ×999` takes."""

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
_PAGE_HEAD = (
    '<svg class="graph-drawing" viewBox="0 0 {width} {height}" width="{width}" '
    'height="{height}" role="{role}" aria-label={name}>'
)
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
)


def draw_svg(graph: Graph) -> str:
    """The text of an SVG file; whatever a user wrote in it is escaped."""
    drawing = layout(graph, width=WIDTH_CELLS)
    head = _HEAD.format(name=quoteattr(visible(graph.name)), **_size(drawing))
    style = f"<style>{_STYLE}</style>"
    parts = [head, style, _TIP]
    for shape in _arrows_last(drawing):
        parts.extend(_draw(shape, _PLAIN))
    return "\n".join([*parts, "</svg>"])


def draw_svg_in_page(
    graph: Graph,
    *,
    painting: Painting | None = None,
    address: Callable[[str], str] | None = None,
) -> str:
    """An SVG element for a page, without any style.

    `address` gives the link of a node, by its path.
    """
    cells = 0 if painting is None else STATE_CELLS
    drawing = layout(graph, width=WIDTH_CELLS, state_cells=cells)
    name = quoteattr(f"Graph of {visible(graph.name)}")
    role = (
        "graphics-document" if address else "img"
    )  # links inside of an image are not found
    parts = [
        _PAGE_HEAD.format(name=name, role=role, **_size(drawing)),
        _TIP,
    ]
    look = _Look(painting=painting, address=address)
    for shape in _arrows_last(drawing):
        parts.extend(_draw(shape, look))
    return "\n".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What nodes have in a page beside their text."""

    painting: Painting | None = None
    address: Callable[[str], str] | None = None


_PLAIN = _Look()


def _size(drawing: Drawing) -> dict[str, int]:
    return {
        "width": drawing.width * CELL_PX + 2 * MARGIN_PX,
        "height": drawing.height * LINE_PX + 2 * MARGIN_PX,
    }


def _arrows_last(drawing: Drawing) -> list[Shape]:
    """A tip may touch the title on the edge of a frame."""
    return sorted(drawing.shapes, key=lambda one: isinstance(one, Arrow))


def _draw(shape: Shape, look: _Look) -> Iterator[str]:
    match shape:
        case Box():
            yield from _box(shape, look)
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


def _box(box: Box, look: _Look) -> Iterator[str]:
    """Edges run through the middle of their cells, as line characters do."""
    paint = look.painting.get(box.path) if look.painting is not None else None
    kind = f"{box.text.kind}{' frame' if box.is_frame else ''}"
    state = f' class="node is-{paint.state}"' if paint is not None else ""
    path = visible(box.path)
    said = ", ".join([path, *([paint.words] if paint and paint.words else [])])
    if look.address is not None:
        link = quoteattr(look.address(box.path))
        yield f'<a href={link} data-node="yes">'
    yield (
        f'<g{state}><title>{escape(said)}</title><rect class="{kind}" '
        f'x="{_x(box.x) + CELL_PX // 2}" y="{_y(box.y) + LINE_PX // 2}" rx="6" '
        f'width="{(box.width - 1) * CELL_PX}" height="{(box.height - 1) * LINE_PX}"/>'
    )
    if box.is_frame:
        yield from _on_edge(box.x + 2, box.y, box.lines[0], "title")
    else:
        for number, line in enumerate(box.lines):
            style = "option" if number else ""
            yield _text(box.x + 2, box.y + 1 + number, line, style)
    if paint is not None and paint.words:
        if box.is_frame:
            x = box.x + 4 + cell_len(box.lines[0])
            yield from _on_edge(x, box.y, paint.words, "paint")
        else:
            yield _text(box.x + 2, box.y + box.height - 2, paint.words, "paint")
    yield "</g></a>" if look.address is not None else "</g>"


def _on_edge(x: int, y: int, text: str, style: str) -> Iterator[str]:
    """A text on the edge of a box, which it covers."""
    yield (
        f'<rect class="behind" x="{_x(x)}" y="{_y(y)}" '
        f'width="{(cell_len(text) + 2) * CELL_PX}" height="{LINE_PX}"/>'
    )
    yield _text(x + 1, y, text, style)


def _text(x: int, y: int, text: str, style: str) -> str:
    name = f' class="{style}"' if style else ""
    place = f'x="{_x(x)}" y="{_y(y) + BASELINE_PX}"'
    return f"<text{name} {place}>{escape(text)}</text>"


def _x(cells: int) -> int:
    return MARGIN_PX + cells * CELL_PX


def _y(lines: int) -> int:
    return MARGIN_PX + lines * LINE_PX

"""The places of the nodes of a workflow in a drawing, in character cells.

Theory of operation. A flow is series-parallel, so a drawing is boxes in frames: a chain
runs from top to bottom, the chains inside a fork or route are side by side in its
frame, in several rows where the drawing would grow too wide. First everything is
measured from the inside out, then placed from the outside in. Every width is odd, so
that the boxes of one chain have one axis, on which the arrows run. Text and SVG draw
the same layout; a cell is a character to one and a few pixels to the other.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len, set_cell_size

from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import ForkNode, Node, RouteNode, TryNode
from sayiir_es.core.graph.paths import join
from sayiir_es.operations.drawing.node_text import NodeText, text_of
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sayiir_es.core.graph.graph import Graph

LABEL_CELLS = 40
"""Longest line in a box; ids may be longer, and are shortened."""

LANES_MAX = 24
"""Chains drawn of one fork or route; what else there is is counted."""

GAP = 3
"""Cells between chains that are side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node, or the frame around its chains; `x` and `y` are of its upper left."""

    x: int
    y: int
    width: int
    height: int
    path: str
    text: NodeText
    lines: tuple[str, ...]
    is_frame: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A line of text: the name of a chain in its frame."""

    x: int
    y: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """From the box that ends above `y` to the one that begins below it."""

    x: int
    y: int


Shape: TypeAlias = Box | Label | Arrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Everything to draw; a frame comes before what is inside it."""

    width: int
    height: int
    shapes: tuple[Shape, ...]


@dataclass(slots=True, kw_only=True)
class _Block:
    """A measured part: its own shapes, and its parts with their offsets in it."""

    width: int
    height: int
    shapes: list[Shape] = field(default_factory=list[Shape])
    parts: list[tuple[int, int, _Block]] = field(
        default_factory=list["tuple[int, int, _Block]"]
    )


def layout(graph: Graph, *, width: int, state_cells: int = 0) -> Drawing:
    """The drawing of a graph, in `width` cells where that can be.

    With `state_cells` each box has an empty line of as many cells below its text, and
    each frame as many behind its title: room for how it stands with the node.
    """
    block = _chain(graph.chain, "", width, state_cells)
    return Drawing(
        width=block.width, height=block.height, shapes=tuple(_place(block, 0, 0))
    )


def _place(block: _Block, x: int, y: int) -> Iterator[Shape]:
    for shape in block.shapes:
        yield _move(shape, x, y)
    for dx, dy, part in block.parts:
        yield from _place(part, x + dx, y + dy)


def _move(shape: Shape, x: int, y: int) -> Shape:
    match shape:
        case Box():
            return Box(
                x=shape.x + x,
                y=shape.y + y,
                width=shape.width,
                height=shape.height,
                path=shape.path,
                text=shape.text,
                lines=shape.lines,
                is_frame=shape.is_frame,
            )
        case Label():
            return Label(x=shape.x + x, y=shape.y + y, text=shape.text)
        case Arrow():
            return Arrow(x=shape.x + x, y=shape.y + y)


# --- measuring ------------------------------------------------------------------------


def _chain(chain: Sequence[Node], prefix: str, width: int, state_cells: int) -> _Block:
    blocks: list[_Block] = []
    before: Node | None = None
    for node, segment in zip(chain, segments(tuple(chain)), strict=True):
        text = text_of(node, is_join=isinstance(before, ForkNode))
        path = join(prefix, segment)
        inner = list(inner_chains(node))
        if inner:
            blocks.append(_frame(node, text, path, (width, state_cells)))
        else:
            blocks.append(_leaf(text, path, state_cells))
        before = node
    widest = max(block.width for block in blocks)
    column = _Block(width=widest, height=0)
    for number, block in enumerate(blocks):
        if number:
            column.shapes.append(Arrow(x=widest // 2, y=column.height))
            column.height += 1
        column.parts.append(((widest - block.width) // 2, column.height, block))
        column.height += block.height
    return column


def _leaf(text: NodeText, path: str, state_cells: int) -> _Block:
    options = textwrap.wrap(visible(" · ".join(text.options)), LABEL_CELLS)
    lines = tuple(map(_clip, (visible(text.title), *options)))
    width = _odd(max(*map(cell_len, lines), state_cells) + 4)
    height = len(lines) + 2 + bool(state_cells)
    box = Box(
        x=0,
        y=0,
        width=width,
        height=height,
        path=path,
        text=text,
        lines=lines,
        is_frame=False,
    )
    return _Block(width=width, height=height, shapes=[box])


def _frame(node: Node, text: NodeText, path: str, room: tuple[int, int]) -> _Block:
    """A frame with the chains of a node inside, each under its name.

    `room` is the width, and the cells for a state.
    """
    width, state_cells = room
    chains = list(inner_chains(node))
    lanes = [
        _lane(name, _chain(chain, join(path, segment), width - 4, state_cells))
        for (segment, chain), name in zip(
            chains[:LANES_MAX], _names(node), strict=False
        )
    ]
    if len(chains) > LANES_MAX:
        lanes.append(_label(f"… and {len(chains) - LANES_MAX:,} more"))
    title = _clip(" · ".join((visible(text.title), *text.options)))
    rows = _rows(lanes, width - 4)
    inside = max(map(_across, rows))
    outer = _odd(max(inside, cell_len(title) + 2 + state_cells) + 4)
    frame = _Block(width=outer, height=1)
    for number, row in enumerate(rows):
        frame.height += 1 if number else 0
        x = (outer - _across(row)) // 2
        for lane in row:
            frame.parts.append((x, frame.height, lane))
            x += lane.width + GAP
        frame.height += max(lane.height for lane in row)
    frame.height += 1
    frame.shapes.append(
        Box(
            x=0,
            y=0,
            width=outer,
            height=frame.height,
            path=path,
            text=text,
            lines=(title,),
            is_frame=True,
        )
    )
    return frame


def _rows(lanes: Sequence[_Block], width: int) -> list[list[_Block]]:
    """Chains side by side as far as they fit, and the next ones below."""
    rows: list[list[_Block]] = []
    for lane in lanes:
        if rows and _across([*rows[-1], lane]) <= width:
            rows[-1].append(lane)
        else:
            rows.append([lane])
    return rows


def _across(lanes: Sequence[_Block]) -> int:
    return sum(lane.width for lane in lanes) + GAP * (len(lanes) - 1)


def _names(node: Node) -> list[str]:
    """The names of the chains of a node; of one alone, none."""
    if isinstance(node, TryNode):
        return ["", "on error"]
    if not isinstance(node, ForkNode | RouteNode):
        return [""]
    names = [visible(branch.name) for branch in node.branches]
    return [*names, "otherwise"] if isinstance(node, RouteNode) else names


def _lane(name: str, chain: _Block) -> _Block:
    if not name:
        return chain
    head = _label(name)
    width = max(head.width, chain.width)
    return _Block(
        width=width,
        height=1 + chain.height,
        parts=[
            ((width - head.width) // 2, 0, head),
            ((width - chain.width) // 2, 1, chain),
        ],
    )


def _label(name: str) -> _Block:
    text = _clip(name)
    return _Block(
        width=_odd(cell_len(text)), height=1, shapes=[Label(x=0, y=0, text=text)]
    )


def _clip(text: str) -> str:
    if cell_len(text) <= LABEL_CELLS:
        return text
    return set_cell_size(text, LABEL_CELLS - 1) + "…"


def _odd(width: int) -> int:
    return width | 1

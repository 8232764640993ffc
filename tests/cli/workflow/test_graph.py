"""Drawings of workflows: in a terminal, as SVG, as Mermaid."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from rich.cells import cell_len

from sayiir_es import Flow
from sayiir_es.cli.workflow.terminal import draw_text
from sayiir_es.core.graph.paths import is_compensation
from sayiir_es.operations.drawing.layout import LANES_MAX, Box, Label, layout
from sayiir_es.operations.drawing.mermaid import draw_mermaid
from sayiir_es.operations.drawing.svg import draw_svg
from tests.cli.every_node import everything, plain
from tests.cli.sample_workflows import approving
from tests.random_programs import random_graph

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

EVIL = 'a"]<b>&amp; end; %%{init}%% `x` \\ \x1b[2J'


def odd() -> Graph:
    """A workflow whose author was out to break drawings."""
    flow = Flow(EVIL).then(plain, name=EVIL).fork()
    flow = flow.branch(plain, name=f"{EVIL}1").branch(plain, name="漢字" * 40)
    return flow.join(plain, name="e\u0301nd").build().graph


def drawn_by(seed: int) -> Graph:
    chance = Random(seed)  # noqa: S311 - no secret
    return random_graph(chance, "random")


def text_of(graph: Graph, width: int = 100) -> list[str]:
    return [line.plain for line in draw_text(graph, width=width)]


def test_a_chain_is_boxes_with_arrows_between_them() -> None:
    assert text_of(approving.graph) == [
        "             ╭─────────╮",
        "             │ double  │",
        "             ╰────┬────╯",
        "                  ▼",
        "╭───────────────────────────────────╮",
        "│ go                                │",
        "│ waits for signal · 1h, then null  │",
        "╰───────────────────────────────────╯",
    ]


def test_branches_stand_side_by_side_in_a_frame() -> None:
    fork = Flow("f").fork().branch(plain, name="a").branch(plain, name="b")
    assert text_of(fork.join(plain, name="m").build().graph) == [
        "┌─ fork · 2 side by side ─┐",
        "│        a       b        │",
        "│      ╭───╮   ╭───╮      │",
        "│      │ a │   │ b │      │",
        "│      ╰───╯   ╰───╯      │",
        "└────────────┬────────────┘",
        "             ▼",
        "           ╭───╮",
        "           │ m │",
        "           ╰───╯",
    ]


@pytest.mark.parametrize("width", [40, 100, 160])
@pytest.mark.parametrize("seed", range(20))
def test_nothing_overlaps_and_all_is_there(seed: int, width: int) -> None:
    graph = drawn_by(seed)
    drawing = layout(graph, width=width)
    boxes = [one for one in drawing.shapes if isinstance(one, Box)]
    drawn = [path for path in graph.places if not is_compensation(path)]
    assert [box.path for box in boxes] == drawn
    shape_at: dict[tuple[int, int], str] = {}
    for shape in drawing.shapes:
        assert 0 <= shape.x < drawing.width
        assert 0 <= shape.y < drawing.height
        if isinstance(shape, Box) and not shape.is_frame:
            cells = [
                (shape.x + x, shape.y + y)
                for x in range(shape.width)
                for y in range(shape.height)
            ]
        elif isinstance(shape, Label):
            cells = [(shape.x + x, shape.y) for x in range(cell_len(shape.text))]
        else:
            continue
        for cell in cells:
            assert cell not in shape_at, (shape_at[cell], shape)
            shape_at[cell] = str(shape)
    for frame in boxes:
        inside = [one for one in boxes if one.path.startswith(f"{frame.path}/")]
        for box in inside:
            assert frame.is_frame
            assert frame.x < box.x
            assert box.x + box.width < frame.x + frame.width
            assert frame.y < box.y
            assert box.y + box.height < frame.y + frame.height


@pytest.mark.parametrize("seed", range(10))
def test_every_line_of_a_drawing_is_within_its_width(seed: int) -> None:
    graph = drawn_by(seed)
    drawing = layout(graph, width=100)
    lines = text_of(graph)
    assert len(lines) == drawing.height
    assert max(map(cell_len, lines)) == drawing.width


def test_a_fork_of_thousands_is_counted_not_drawn() -> None:
    fork = Flow("wide").fork()
    for number in range(1_000):
        fork = fork.branch(plain, name=f"n{number}")
    lines = text_of(fork.join(plain, name="merge").build().graph)
    assert len(lines) < 60
    assert f"… and {1_000 - LANES_MAX} more" in "\n".join(lines)


def test_what_a_user_named_neither_moves_the_cursor_nor_breaks_a_file() -> None:
    graph = odd()
    lines = text_of(graph)
    assert all(line.isprintable() or "\u0301" in line for line in lines)
    assert max(map(cell_len, lines)) <= 100
    svg = ET.fromstring(draw_svg(graph))  # noqa: S314 (ours)
    titles = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert any("<b>&amp;" in str(title) for title in titles)
    chart = draw_mermaid(graph)
    labels = re.findall(r'"([^"]*)"', chart)
    assert not re.search(r"[<>`%\x1b\\]|&(?!$)", "".join(labels).replace("<br/>", ""))
    assert re.sub(r'"[^"]*"', "", chart).isascii()


def test_an_svg_has_a_box_for_each_node_and_a_tip_for_each_arrow() -> None:
    text = draw_svg(everything.graph)
    svg = ET.fromstring(text)  # noqa: S314 (ours)
    groups = list(svg.iter("{http://www.w3.org/2000/svg}g"))
    assert len(groups) == len(everything.graph.places)
    paths = [group[0].text for group in groups]
    assert paths == list(everything.graph.places)
    assert text.count("url(#tip)") == 7


def test_a_mermaid_chart_has_the_edges_of_the_graph() -> None:
    chart = draw_mermaid(everything.graph)
    lines = [line.strip() for line in chart.splitlines()]
    assert lines[0] == "flowchart TD"
    names = {
        match[2].partition("<br/>")[0]: match[1]
        for line in lines
        if (match := re.match(r'(n\d+)[\[({]+"([^"]*)"', line))
    }
    edges = {
        (match[1], match[2] or "", match[3])
        for line in lines
        if (match := re.match(r'(n\d+)(?: -- "([^"]*)")? --> (n\d+)$', line))
    }

    def edge(source: str, target: str, label: str = "") -> tuple[str, str, str]:
        return names[source], label, names[target]

    assert edges == {
        edge("careful", "fork"),
        edge("fork", "left", "left"),
        edge("fork", "right", "right"),
        edge("left", "merge"),
        edge("right", "merge"),
        edge("merge", "approval"),
        edge("approval", "rest"),
        edge("rest", "route branch_0"),
        edge("route branch_0", "large", "big"),
        edge("route branch_0", "small", "otherwise"),
        edge("large", "turn"),
        edge("small", "turn"),
        edge("turn", "packed"),
    }
    assert f'{names["turn"]} -. "again" .-> {names["turn"]}' in lines
    assert lines.count("end") == 2

"""A workflow's graph on stdout, in the format that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.cli.console import stdout_console
from sayiir_es.cli.stdout import write_line
from sayiir_es.cli.workflow.graph_format import GraphFormat
from sayiir_es.cli.workflow.terminal import draw_text
from sayiir_es.core.graph.record import graph_to_json
from sayiir_es.operations.drawing.mermaid import draw_mermaid
from sayiir_es.operations.drawing.svg import draw_svg
from sayiir_es.operations.text import to_json

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph


def print_graph(graph: Graph, graph_format: GraphFormat) -> None:
    """Draw a graph on stdout."""
    match graph_format:
        case GraphFormat.TEXT:
            console = stdout_console()
            for line in draw_text(graph, width=console.width):
                console.print(line, soft_wrap=True)
        case GraphFormat.MERMAID:
            write_line(draw_mermaid(graph))
        case GraphFormat.SVG:
            write_line(draw_svg(graph))
        case GraphFormat.JSON:
            write_line(to_json(graph_to_json(graph), indent=2))

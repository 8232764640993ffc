"""A workflow as a Mermaid flowchart, for pages that draw those."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from sayiir_es.operations.drawing.node_text import text_of
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.graph.graph import Graph

_SPECIAL = {ord(c): f"#{ord(c)};" for c in '#"<>&`%\\'}
"""Characters that mean something to Mermaid or HTML, as it writes them in labels."""


def draw_mermaid(graph: Graph) -> str:
    """The text of a flowchart; names of users appear in labels only, escaped."""
    chart = _Chart()
    chart.chain(graph.chain, [])
    return "\n".join(["flowchart TD", *chart.lines])


class _Chart:
    """Collects lines; nodes are numbered in graph order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0
        self._depth = 1

    def chain(self, chain: Sequence[Node], sources: list[str]) -> list[str]:
        """Draw a chain after its sources; return the sources for what follows it.

        A source is a node, or a node and the label of the edge: `n1` or `n1 -- "eu"`.
        """
        before: Node | None = None
        for node in chain:
            sources = self._node(node, sources, is_join=isinstance(before, ForkNode))
            before = node
        return sources

    def _node(self, node: Node, sources: list[str], *, is_join: bool) -> list[str]:
        text = text_of(node, is_join=is_join)
        label = "<br/>".join(_escape(line) for line in (text.title, *text.options))
        match node:
            case TaskNode() | StartChildNode():
                return [self._put(f'["{label}"]', sources)]
            case DelayNode():
                return [self._put(f'(["{label}"])', sources)]
            case SignalNode():
                return [self._put(f'{{{{"{label}"}}}}', sources)]
            case ForkNode() | RouteNode():
                return self._branches(node, label, sources)
            case LoopNode():
                return self._loop(node, label, sources)
            case ChildNode():
                self._open(label)
                ends = self.chain(node.chain, sources)
                self._close()
                return ends
            case TryNode():
                return self._try(node, label, sources)
            case _:
                assert_never(node)

    def _branches(
        self, node: ForkNode | RouteNode, label: str, sources: list[str]
    ) -> list[str]:
        shape = f'(("{label}"))' if isinstance(node, ForkNode) else f'{{"{label}"}}'
        here = self._put(shape, sources)
        lanes = [(branch.name, branch.chain) for branch in node.branches]
        if isinstance(node, RouteNode) and node.default is not None:
            lanes.append(("otherwise", node.default))
        ends: list[str] = []
        for name, chain in lanes:
            ends += self.chain(chain, [f'{here} -- "{_escape(name)}"'])
        return ends

    def _loop(self, node: LoopNode, label: str, sources: list[str]) -> list[str]:
        self._open(label)
        first = f"n{self._count}"
        if isinstance(node.body[0], LoopNode | ChildNode | TryNode):
            first = self._put('(("again"))', sources)
            sources = [first]
        ends = self.chain(node.body, sources)
        for end in ends:
            self._line(f'{end.partition(" ")[0]} -. "again" .-> {first}')
        self._close()
        return ends

    def _try(self, node: TryNode, label: str, sources: list[str]) -> list[str]:
        self._open(label)
        first = f"n{self._count}"
        ends = self.chain(node.body, sources)
        ends += self.chain(node.handler, [f'{first} -- "on error"'])
        self._close()
        return ends

    def _put(self, shape: str, sources: list[str]) -> str:
        name = f"n{self._count}"
        self._count += 1
        self._line(f"{name}{shape}")
        for source in sources:
            self._line(f"{source} --> {name}")
        return name

    def _open(self, title: str) -> None:
        self._line(f'subgraph s{self._count} ["{title}"]')
        self._depth += 1

    def _close(self) -> None:
        self._depth -= 1
        self._line("end")

    def _line(self, text: str) -> None:
        self.lines.append("  " * self._depth + text)


def _escape(text: str) -> str:
    return visible(text).translate(_SPECIAL)

"""How it stands with each node of a graph in one instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.graph.paths import template

if TYPE_CHECKING:
    from collections.abc import Mapping

PaintedState: TypeAlias = Literal[
    "done", "running", "waiting", "failed", "undone", "stopped", "not_reached"
]

WORDS: Mapping[PaintedState, str] = {
    "done": "✓ done",
    "running": "▸ running",
    "waiting": "◷ waiting",
    "failed": "✕ failed",
    "undone": "↺ undone",
    "stopped": "Ⅱ stopped",
    "not_reached": "",
}
"""A shape and a word beside the colour; of what was not reached the paler line says
it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePaint:
    """What is painted on a node: its state, and how many attempts it took."""

    state: PaintedState
    attempts: int = 0

    @property
    def words(self) -> str:
        """The state in words, with the attempts where there were several."""
        times = f" ×{self.attempts:,}" if self.attempts > 1 else ""
        return WORDS[self.state] + times


NOT_REACHED = NodePaint(state="not_reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """The state of every node that was reached, by its path without iterations."""

    nodes: Mapping[str, NodePaint]

    def get(self, path: str) -> NodePaint:
        """The state of the node at a path."""
        return self.nodes.get(template(path), NOT_REACHED)

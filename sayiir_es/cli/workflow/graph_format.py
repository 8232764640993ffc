"""The formats in which a graph is drawn."""

from __future__ import annotations

from enum import StrEnum


class GraphFormat(StrEnum):
    """How a graph is drawn."""

    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"
    JSON = "json"

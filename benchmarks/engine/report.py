"""Figures for people, side by side, and for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.engine.measure import Figures


def print_table(title: str, figures_by_backend: Mapping[str, Figures]) -> None:
    """A row a figure, a column a backend."""
    table = Table(title=title)
    table.add_column("")
    for backend in figures_by_backend:
        table.add_column(backend, justify="right")
    names: dict[str, None] = {}
    for figures in sorted(figures_by_backend.values(), key=len, reverse=True):
        names |= dict.fromkeys(figures)
    for name in names:
        cells = [
            format_figure(figures.get(name)) for figures in figures_by_backend.values()
        ]
        table.add_row(name, *cells)
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def print_json(figures_by_backend: Mapping[str, Figures]) -> None:
    """An object a backend, a number a figure."""
    sys.stdout.write(json.dumps(figures_by_backend, indent=2, allow_nan=False) + "\n")


def format_figure(figure: float | None) -> str:
    """A figure with three significant digits."""
    if figure is None:
        return "–"
    if figure >= 100:  # noqa: PLR2004 (three digits before the point)
        return f"{figure:,.0f}"
    return f"{figure:.3g}"

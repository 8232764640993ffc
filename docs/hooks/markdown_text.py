"""Text that is put into Markdown: cells of tables, and code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty when it has no row."""
    lines = [_row(row) for row in rows]
    if not lines:
        return ""
    return "\n".join(("", _row(head), _row(["---"] * len(head)), *lines, ""))


def code(text: object) -> str:
    """Some text as code; empty text stays empty."""
    return f"`{text}`" if str(text) else ""


def plain(text: str) -> str:
    """Text of one paragraph, in which no `<` begins a tag."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _row(cells: Sequence[str]) -> str:
    # In a cell a bar must be escaped, in code too.
    texts = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |"

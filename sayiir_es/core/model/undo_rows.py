"""The rows of completed tasks that can be undone: by path, and in order of completion.

By its path a task's input is found, and the sequence of the event that completed it. By
that sequence stands what became of it: `u` it is still to be undone, `d` it is undone,
`n` it could not be. Of an instance without any there is no row, and nobody looks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.model.rows import get_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.rows import Changes, Rows

UndoKind: TypeAlias = Literal["u", "d", "n"]
UNDO_KINDS: tuple[UndoKind, ...] = ("u", "d", "n")

_SEQUENCE_DIGITS = 12
"""As many as no instance has events: a partition that makes 10,000 a second has them
after three years."""

PATH_AT = _SEQUENCE_DIGITS + 2
"""Where the path begins in the key of a task."""

_BODY = re.compile(r"(?<=[^/])@[0-9]+(?=/)")


def get_undoable(rows: Rows, path: str) -> tuple[int, str] | None:
    """Of a completed task that can be undone: sequence of its event, its input."""
    row = get_text(rows, "o" + path)
    if not row:
        return None
    sequence, _, reference = row.partition(":")
    return int(sequence), reference


def undoable_rows(sequence: int, path: str, reference: str) -> Changes:
    """The rows of a completed task that can be undone, with the input that it had."""
    changes: Changes = {"o": "", "o" + path: f"{sequence}:{reference}"}
    for body in _bodies_around(path):
        changes["o" + body] = ""
    changes[undo_key("u", sequence, path)] = 1
    return changes


def has_undoable(rows: Rows, body: str = "") -> bool:
    """Whether any completed task can be undone; or any in that iteration of a loop."""
    return rows.get("o" + body) is not None


def undo_key(kind: UndoKind, sequence: int, path: str) -> str:
    """The key that says of a completed task that it is to be undone, is, or cannot be.

    In the order of the keys the tasks were completed.
    """
    return f"{kind}{sequence:0{_SEQUENCE_DIGITS}}:{path}"


def moved_key(key: str, path: Callable[[str], str]) -> str:
    """The key of such a row of a task whose path is another one now."""
    return key[:PATH_AT] + path(key[PATH_AT:])


def moved_undoable(row: str, reference: Callable[[str], str]) -> str:
    """The row by path, whose input is under another reference now."""
    sequence, colon, before = row.partition(":")
    return sequence + colon + reference(before) if colon else row


def keys_to_undo(rows: Rows, kind: UndoKind = "u") -> list[str]:
    """The keys of the tasks of that kind, the one that completed last first."""
    return sorted(rows.keys(kind), reverse=True) if has_undoable(rows) else []


def paths_to_undo(rows: Rows, kind: UndoKind = "u") -> list[str]:
    """The tasks that are still to be undone, are, or cannot be; the last one first."""
    return [key[PATH_AT:] for key in keys_to_undo(rows, kind)]


def is_to_undo(rows: Rows, path: str) -> bool:
    """Whether the task at a path was completed and is still to be undone."""
    undoable = get_undoable(rows, path)
    return undoable is not None and rows.get(undo_key("u", undoable[0], path)) == 1


def is_any_to_undo(rows: Rows) -> bool:
    """Whether any completed task is still to be undone."""
    return has_undoable(rows) and next(iter(rows.keys("u")), None) is not None


def _bodies_around(path: str) -> list[str]:
    """The iterations that a path is in, as prefixes of their chains."""
    return (
        [path[: match.end()] for match in _BODY.finditer(path)] if "@" in path else []
    )

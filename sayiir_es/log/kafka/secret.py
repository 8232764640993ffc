"""A password as a text that no `repr` shows: of an option, of a frame, of a task."""

from __future__ import annotations


class Secret(str):
    """A text like any other, but for its `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

"""The beginning of a value that is too large to be shown, cut before any work on it.

A payload may be a megabyte: to hide what must be hidden in it, to make it JSON for
people and to show the first hundred lines of that would take a second of a server. So
lists, objects and texts inside are cut first, and say by how much.
"""

from __future__ import annotations

from typing import cast

ITEMS_MAX = 100
"""Of one list or object."""

CHARACTERS_MAX = 20_000
"""Of one text: a traceback is shorter."""

VALUES_MAX = 2_000
"""Of all lists and objects together."""


def preview(value: object) -> tuple[object, bool]:
    """A JSON value with at most so much in it, and whether something was cut."""
    cutting = _Cutting()
    return cutting.cut(value), cutting.has_cut


class _Cutting:
    def __init__(self) -> None:
        self.has_cut = False
        self._left = VALUES_MAX

    def cut(self, value: object) -> object:
        if isinstance(value, str) and len(value) > CHARACTERS_MAX:
            self.has_cut = True
            return f"{value[:CHARACTERS_MAX]}… {len(value) - CHARACTERS_MAX:,} more"
        if isinstance(value, list):
            items = cast("list[object]", value)
            kept = items[: self._room(len(items))]
            shown = [self.cut(item) for item in kept]
            return [*shown, *self._rest(len(items) - len(kept))]
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value)
            room = self._room(len(pairs))
            cut_pairs: dict[str, object] = {}
            for name, item in pairs.items():
                if len(cut_pairs) >= room:
                    break
                cut_pairs[name] = self.cut(item)
            rest = self._rest(len(pairs) - len(cut_pairs))
            return {**cut_pairs, **dict.fromkeys(rest, "…")}
        return value

    def _room(self, wanted: int) -> int:
        """How many items of a list or object are kept."""
        room = max(min(wanted, ITEMS_MAX, self._left), 0)
        self._left -= room
        return room

    def _rest(self, count: int) -> tuple[str, ...]:
        if not count:
            return ()
        self.has_cut = True
        return (f"… {count:,} more",)

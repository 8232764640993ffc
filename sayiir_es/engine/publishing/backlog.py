"""Which instances wait to be published, in the order in which they changed.

Theory of operation. An instance stands here once, whatever it went through, with the
offset of the first event that is not published. Changes are added in the order of
their offsets, and a group is taken from the front. So whatever the first of those that
wait or are under way has before it is published: `complete_before` costs one look.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WAITING_MAX = 50_000
"""Instances that are remembered by name, some 10 MB; what changed behind them is found
in the log again, so that a topic that takes nothing for long costs no more memory."""


class Backlog:
    """The instances of one partition that changed below the offset `known_to`."""

    def __init__(self, known_to: int) -> None:
        self.known_to = known_to
        self._waiting: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no further instance is to be added."""
        return len(self._waiting) >= WAITING_MAX

    @property
    def complete_before(self) -> int:
        """The offset below which nothing waits to be published."""
        offsets = chain(self._taken.values(), self._waiting.values())
        return next(offsets, self.known_to)

    def add(self, instance_ids: Iterable[str], offset: int) -> None:
        """They changed at `offset` or behind it, which is no lower than any before."""
        for instance_id in instance_ids:
            self._waiting.setdefault(instance_id, offset)

    def take(self, most: int) -> list[str]:
        """Take those that wait longest, until `done` or `undo`."""
        for instance_id in list(islice(self._waiting, most)):
            self._taken[instance_id] = self._waiting.pop(instance_id)
        return list(self._taken)

    def done(self) -> None:
        """What was taken is published."""
        self._taken.clear()

    def undo(self) -> None:
        """What was taken is not published, or nobody knows: it waits in front."""
        behind, self._waiting, self._taken = self._waiting, self._taken, {}
        for instance_id, offset in behind.items():
            self._waiting.setdefault(instance_id, offset)

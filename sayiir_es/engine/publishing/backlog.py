"""Which instances wait to be published, in the order in which they changed.

Theory of operation. An instance is held once, however often it changed, with the offset
of its first event that is not published. Changes are added in the order of their
offsets, and a group is taken from the front. So the first instance that waits or is in
flight has the lowest offset, and everything below that offset is published:
`complete_before` reads one entry.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WAITING_MAX = 50_000
"""How many instances are held, some 10 MB. Later changes are read from the log again,
so that a topic that refuses records for long takes no more memory."""


class Backlog:
    """The instances of one partition that changed below the offset `known_to`."""

    def __init__(self, end_offset: int) -> None:
        self.end_offset = end_offset
        self._waiting: dict[str, int] = {}
        self._in_flight: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no further instance is to be added."""
        return len(self._waiting) >= WAITING_MAX

    @property
    def complete_before(self) -> int:
        """The offset of the events below which everything is published."""
        offsets = chain(self._in_flight.values(), self._waiting.values())
        return next(offsets, self.end_offset)

    def add(self, instance_ids: Iterable[str], offset: int) -> None:
        """Add instances that changed at `offset` or later.

        `offset` must not be lower than that of any call before.
        """
        for instance_id in instance_ids:
            self._waiting.setdefault(instance_id, offset)

    def take(self, most: int) -> list[str]:
        """Take the `most` that wait longest; `confirm` or `undo` must follow."""
        for instance_id in list(islice(self._waiting, most)):
            self._in_flight[instance_id] = self._waiting.pop(instance_id)
        return list(self._in_flight)

    def confirm(self) -> None:
        """The instances that were taken are published."""
        self._in_flight.clear()

    def undo(self) -> None:
        """The instances that were taken may not be published: they wait in front."""
        later, self._waiting, self._in_flight = self._waiting, self._in_flight, {}
        for instance_id, offset in later.items():
            self._waiting.setdefault(instance_id, offset)

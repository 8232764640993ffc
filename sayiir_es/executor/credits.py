"""How many attempts the owner of each partition may still give, as far as is known."""

from __future__ import annotations


class Credits:
    """What was offered to the owners of partitions, less what came of it."""

    def __init__(self, partitions: int) -> None:
        self._left = [0] * partitions

    def take(self, partition: int) -> None:
        """An attempt of a partition came."""
        self._left[partition] = max(0, self._left[partition] - 1)

    def offer(self, partition: int, free: int) -> None:
        """Its owner was offered so many."""
        self._left[partition] = free

    def due(self, room: int) -> list[int]:
        """The partitions to whose owners so much room is news."""
        if room <= 0:
            return []
        return [number for number, left in enumerate(self._left) if 2 * left <= room]

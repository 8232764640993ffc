"""The partitions of whose commits a client wants to be told.

A partition is watched from the first wait for it on, and no longer when nobody has
waited for its commits for a while: a client that has read once costs the owner nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.log.embedded.socket_frames import TopicPartition

UNREAD_COMMITS_MAX = 16
"""After so many commits in a row that nobody waited for, they are told no longer."""


class WatchedPartitions:
    """Which these are; each with how many commits in a row nobody waited for."""

    def __init__(self) -> None:
        self._unread: dict[TopicPartition, int] = {}

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._unread)

    def add(self, to: TopicPartition) -> bool:
        """Watch a partition; return whether it is new."""
        is_new = to not in self._unread
        if is_new:
            self._unread[to] = 0
        return is_new

    def told(self, to: TopicPartition, *, read: bool) -> bool:
        """Note that a commit was told; return whether that is to end."""
        if to not in self._unread:
            return False
        self._unread[to] = 0 if read else self._unread[to] + 1
        if self._unread[to] < UNREAD_COMMITS_MAX:
            return False
        del self._unread[to]
        return True

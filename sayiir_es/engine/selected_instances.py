"""The instances that calls of this process run: an owner of theirs begins no others.

A call that runs one instance owns the log for a while, and with it everybody's. What
others started there is theirs to run: begun here and dropped when the call returns, it
would be begun again and again, and fail in the end as lost with its workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_FOR_EVER = 1 << 62


class SelectedInstances:
    """Ids of instances, each with the calls that run it and when the last one began."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._began_at: dict[str, int] = {}
        self._parents: dict[str, str] = {}
        """Children that they have started, by id, each with its parent."""

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._calls or instance_id in self._parents

    def __iter__(self) -> Iterator[str]:
        return iter((*self._calls, *self._parents))

    def add_child(self, parent_id: str, child_id: str) -> None:
        """A selected instance has started a child: it is run as long as that one."""
        if child_id not in self:
            self._parents[child_id] = parent_id

    def add(self, instance_id: str, now_ms: int) -> None:
        """A call runs the instance from now on, a time in epoch milliseconds."""
        self._calls[instance_id] = self._calls.get(instance_id, 0) + 1
        self._began_at[instance_id] = now_ms

    def remove(self, instance_id: str) -> None:
        """That call has ended."""
        self._calls[instance_id] -= 1
        if not self._calls[instance_id]:
            del self._calls[instance_id], self._began_at[instance_id]
            self._remove_children(instance_id)

    def _remove_children(self, parent_id: str) -> None:
        gone = {parent_id}
        while gone:
            gone = {child for child, parent in self._parents.items() if parent in gone}
            for child in gone:
                del self._parents[child]

    def wakes_before(self, instance_id: str) -> int:
        """The time before which delays and waits must be due to be ended here.

        An instance that a call parks stays parked until the next call. A call waits for
        the children that its instance waits for, whatever these wait for.
        """
        if instance_id in self._parents:
            return _FOR_EVER
        return self._began_at.get(instance_id, 0)

"""The chains of instances that a requested cancel or pause, or a failure, holds back.

An instance may have ten thousand branches, so its chains are listed once, at the
request, and looked at in portions; behind that only those that have changed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.model.headers import is_stopping
from sayiir_es.core.model.rows import get_cursors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.core.model.rows import Header, Rows

PORTION = 1_000
"""So many chains are looked at in about 5 ms."""


class HeldChains:
    """What is still to be looked at of each instance that is held back."""

    def __init__(self) -> None:
        self._chains: dict[str, list[str]] = {}
        """By instance; the first chain is the last."""
        self._cancelled: set[str] = set()
        """Listed since they stop, by a cancel or a failure: that may follow a pause."""
        self._waiting: deque[str] = deque()
        """The instances that have more than a portion."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, instance_id: str, header: Header, rows: Rows, changed: Iterable[str]
    ) -> Iterator[str]:
        """The chains to look at now: all at first, then those that have changed."""
        chains = self._chains.get(instance_id)
        is_cancelled = is_stopping(header)
        if chains is None or (is_cancelled and instance_id not in self._cancelled):
            chains = [chain for chain, _ in get_cursors(rows)]
            self._chains[instance_id] = chains
            if is_cancelled:
                self._cancelled.add(instance_id)
        else:
            chains.extend(changed)
        if instance_id not in self._waiting:
            yield from self._take(chains)
            if chains:
                self._waiting.append(instance_id)

    def waiting(self) -> str | None:
        """The instance that is next to be looked at again."""
        return self._waiting[0] if self._waiting else None

    def take(self, instance_id: str) -> Iterator[str]:
        """Another portion of the chains of the instance that is next."""
        chains = self._chains.get(instance_id, [])
        yield from self._take(chains)
        if not chains:
            self._waiting.popleft()

    def discard(self, instance_id: str) -> None:
        """The instance is held back no longer."""
        if self._chains:
            self._chains.pop(instance_id, None)
            self._cancelled.discard(instance_id)

    def clear(self) -> None:
        """Forget all."""
        self._chains, self._cancelled = {}, set()
        self._waiting.clear()

    @staticmethod
    def _take(chains: list[str]) -> Iterator[str]:
        for _ in range(min(PORTION, len(chains))):
            yield chains.pop()

"""The keys of an instance's rows in order, so that those with a prefix cost no scan.

Rows are asked for by prefix (`c`: all cursors; `cloop@3/`: those inside an iteration).
A scan of a dict looks at every row of the instance for that; a sorted list finds the
first key and the last by bisection. To keep the list sorted costs a little with each
row that comes or goes. So it is made only for an instance of more rows than
`SCAN_ROWS_MAX`, when keys are first asked for by a prefix.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCAN_ROWS_MAX = 48
"""Up to so many rows a scan takes less time than to make and keep an index."""


class KeyIndex:
    """Keys in sorted order."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = sorted(keys)

    def add(self, key: str) -> None:
        """Take a key in, if it is not there."""
        keys = self._keys
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            keys.insert(at, key)

    def discard(self, key: str) -> None:
        """Take a key out, if it is there."""
        keys = self._keys
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            del keys[at]

    def apply(self, changes: Mapping[str, object]) -> None:
        """Follow changed rows: None takes a key out, all else takes it in."""
        for key, row in changes.items():
            if row is None:
                self.discard(key)
            else:
                self.add(key)

    def with_prefix(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, as they are now, in order."""
        keys, length = self._keys, len(prefix)
        start = bisect_left(keys, prefix)
        if start == len(keys) or not keys[start].startswith(prefix):
            return iter(())
        # Exact: cut to the prefix's length, keys are still in order.
        end = bisect_right(keys, prefix, lo=start, key=lambda key: key[:length])
        return iter(keys[start:end])


def scan(rows: Mapping[str, object], prefix: str) -> Iterator[str]:
    """The same for few rows, by a look at each; None is a row that is not there."""
    return iter(
        sorted(
            key
            for key, row in rows.items()
            if row is not None and key.startswith(prefix)
        )
    )


def index_of(rows: Mapping[str, object]) -> KeyIndex:
    """An index of the rows that are there."""
    return KeyIndex(key for key, row in rows.items() if row is not None)

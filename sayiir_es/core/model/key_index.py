"""The keys of an instance's rows in order, so that those with a prefix cost no scan.

Rows are asked for by prefix (`c`: all cursors; `cloop@3/`: those inside an iteration).
A scan of a dict looks at every row of the instance for that; a sorted list finds the
first key and the last by bisection. To keep a list sorted costs a little with each row
that comes or goes. So there is an index only of an instance of more rows than
`SCAN_ROWS_MAX`, and in it a list only of a kind of row (a key's first letter) that was
asked for: who asks for cursors pays nothing for values.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCAN_ROWS_MAX = 48
"""Up to so many rows a scan takes less time than to make and keep an index."""


class KeyIndex:
    """The keys of `rows` in sorted order, by kind; None is a row that is not there."""

    __slots__ = ("_by_kind", "_rows")

    def __init__(self, rows: Mapping[str, object]) -> None:
        self._rows = rows
        self._by_kind: dict[str, list[str]] = {}

    def follow(self, key: str, old: object, new: object) -> None:
        """Follow one of the rows that changes."""
        if (old is None) is (new is None):
            return
        keys = self._by_kind.get(key[:1])
        if keys is None:
            return
        at = bisect_left(keys, key)
        if new is not None:
            keys.insert(at, key)
        else:
            del keys[at]

    def with_prefix(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, as they are now, in order."""
        kind, length = prefix[:1], len(prefix)
        if not kind:
            return scan(self._rows, prefix)
        keys = self._by_kind.get(kind)
        if keys is None:
            keys = self._by_kind[kind] = list(scan(self._rows, kind))
        start = bisect_left(keys, prefix)
        if start == len(keys) or not keys[start].startswith(prefix):
            return iter(())
        # Exact: cut to the prefix's length, keys are still in order.
        end = bisect_right(keys, prefix, lo=start, key=lambda key: key[:length])
        return iter(keys[start:end])


def scan(rows: Mapping[str, object], prefix: str) -> Iterator[str]:
    """The same without an index, by a look at each row."""
    return iter(
        sorted(
            [
                key
                for key, row in rows.items()
                if row is not None and key.startswith(prefix)
            ]
        )
    )

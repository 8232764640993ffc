"""Decoded rows of the instances that a store worked with lately.

Theory of operation. `get` on the hot path is one dict lookup. None stands for a row
that does not exist. An instance is *complete* when all of its rows are here: one whose
header was never written has no rows, so a new instance reads nothing, ever. `before`
holds, for each row that changed since the last write, what the database has, so that
indexes can be brought along and a row that came and went costs nothing.

An instance that left the cache while somebody still holds its rows is found again by a
weak reference: there are never two views of one instance.

Keys by prefix come from an index of those that are here, once they are more than a few.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from weakref import WeakSet, WeakValueDictionary

from sayiir_es.core.model.key_index import SCAN_ROWS_MAX, KeyIndex, scan
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.engine.store.row_index import CURSOR_PREFIX, HEADER, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.model.rows import Changes, Row
    from sayiir_es.core.status.list_entry import ListEntry

ROW_BYTES = 200
"""What a cached or written row costs beside the bytes of its value, about."""


SLACK = 1_000
"""How many instances more than its limit a cache holds between two flushes."""


class Unread(Enum):
    """Stands for a row of the database that nobody has read."""

    UNREAD = "unread"


UNREAD = Unread.UNREAD
MaybeRead: TypeAlias = "Row | Literal[Unread.UNREAD] | None"
MaybeListed: TypeAlias = "ListEntry | Literal[Unread.UNREAD] | None"


class RowSource(Protocol):
    """Where rows that are not in memory come from."""

    def read(self, instance: bytes, key: str) -> Row | None:
        """One row, or None."""
        ...

    def read_cursors(self, instance: bytes, prefix: str) -> list[tuple[str, Row]]:
        """The cursors whose keys begin with `prefix`."""
        ...

    def read_keys(self, instance: bytes, prefix: str) -> list[str]:
        """The keys that begin with `prefix`."""
        ...


@dataclass(slots=True, eq=False, weakref_slot=True)
class CachedRows:
    """The rows of one instance, as readers see them.

    `listed` is what lists say of it, without its id, as the database has it: read
    before its first change. `to_list` is the same once all is written.
    """

    instance: bytes
    source: RowSource
    complete: bool
    rows: dict[str, Row | None]
    before: dict[str, MaybeRead] = field(default_factory=dict[str, MaybeRead])
    value_bytes: int = 0
    weighed: int = 0
    has_all_cursors: bool = False
    listed: MaybeListed = None
    to_list: ListEntry | None = None
    _index: KeyIndex | None = field(default=None, init=False)

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        rows = self.rows
        row = rows.get(key)
        if row is not None or self.complete or key in rows:
            return row
        row = rows[key] = self.source.read(self.instance, key)
        if type(row) is bytes:
            self.value_bytes += len(row)
        if self._index is not None:
            self._index.follow(key, None, row)
        return row

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, in order."""
        if self.complete:
            return self._cached_keys(prefix)
        if prefix.startswith(CURSOR_PREFIX):
            self._read_cursors(prefix)
            return self._cached_keys(prefix)
        stored = self.source.read_keys(self.instance, prefix)
        absent = (key for key in stored if key not in self.rows)
        return iter(sorted((*self._cached_keys(prefix), *absent)))

    def _cached_keys(self, prefix: str) -> Iterator[str]:
        if self._index is None:
            if len(self.rows) <= SCAN_ROWS_MAX:
                return scan(self.rows, prefix)
            self._index = KeyIndex(self.rows)
        return self._index.with_prefix(prefix)

    def _read_cursors(self, prefix: str) -> None:
        """Let all cursors whose keys begin so be here."""
        if self.has_all_cursors:
            return
        rows = self.rows
        stored = {
            key: row
            for key, row in self.source.read_cursors(self.instance, prefix)
            if key not in rows
        }
        rows.update(stored)
        if self._index is not None:
            for key, row in stored.items():
                self._index.follow(key, None, row)
        self.has_all_cursors = prefix == CURSOR_PREFIX

    def apply(self, changes: Changes) -> int:
        """Take changes over; returns about how many bytes they are to write."""
        rows, before, index = self.rows, self.before, self._index
        unread = None if self.complete else UNREAD
        written = 0
        for key, row in changes.items():
            old = rows.get(key, unread)
            if key not in before:
                before[key] = old
            if type(old) is bytes:
                self.value_bytes -= len(old)
            if type(row) is bytes:
                self.value_bytes += len(row)
                written += len(row)
            rows[key] = row
            if index is not None:
                index.follow(key, None if old is UNREAD else old, row)
        return written

    def stored(self, key: str) -> Row | None:
        """The row as the database has it."""
        before = self.before
        if key not in before:
            return self.get(key)
        row = before[key]
        if row is UNREAD:
            row = before[key] = self.source.read(self.instance, key)
        return row

    def written(self) -> None:
        """The database has what is here."""
        if self.complete:
            rows = self.rows
            for key in self.before:
                if rows[key] is None:
                    del rows[key]
        self.before.clear()
        self.listed = self.to_list

    def weight(self) -> int:
        """About how many bytes of memory the rows take."""
        return self.value_bytes + ROW_BYTES * len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """How much a store keeps decoded. What is over leaves, least recently used first.

    What is not yet written never leaves, so between two flushes it may be more. The
    stores of one process share the bytes of one: see `BUDGET`.
    """

    instances: int = 20_000
    total_bytes: int = 256 * 1024 * 1024
    instance_bytes: int = 8 * 1024 * 1024


class CacheBudget:
    """What the stores of one process may keep decoded, all together.

    A worker has a store for each partition that it owns: without it the memory that it
    takes would grow with their number.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._caches: WeakSet[InstanceCache] = WeakSet()

    def enter(self, cache: InstanceCache) -> None:
        """A store was opened."""
        self._caches.add(cache)

    def leave(self, cache: InstanceCache) -> None:
        """It was closed."""
        self._caches.discard(cache)

    @property
    def share_bytes(self) -> int:
        """How much one of them may keep."""
        return self._total_bytes // max(1, len(self._caches))


BUDGET = CacheBudget(CacheLimits().total_bytes)
"""Of this process."""


class InstanceCache:
    """The instances in memory: the dirty ones, and clean ones within limits."""

    def __init__(self, limits: CacheLimits, load: Callable[[str], CachedRows]) -> None:
        self.dirty: dict[str, CachedRows] = {}
        self.dirty_rows = 0
        self.dirty_bytes = 0
        self._limits = limits
        self._load = load
        self._cached: OrderedDict[str, CachedRows] = OrderedDict()
        self._left: WeakValueDictionary[str, CachedRows] = WeakValueDictionary()
        self._weight = 0
        self._loaded_bytes = 0
        BUDGET.enter(self)

    def close(self) -> None:
        """Its store is closed: others may keep what it kept."""
        BUDGET.leave(self)

    def __len__(self) -> int:
        return len(self._cached)

    def rows(self, instance_id: str) -> CachedRows:
        """The rows of an instance, from memory if they are there."""
        cached = self._cached.get(instance_id)
        if cached is None:
            return self._enter(instance_id)
        self._cached.move_to_end(instance_id)
        return cached

    def _enter(self, instance_id: str) -> CachedRows:
        entering = self._left.get(instance_id)
        if entering is None:
            entering = self._load(instance_id)
        # Dirty ones stay whatever is done: to look for others among them is in vain.
        clean = len(self._cached) - len(self.dirty)
        if clean >= self._limits.instances + SLACK:
            self.trim()
        self._cached[instance_id] = entering
        self._weight += entering.weighed
        return entering

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Take changes over; the instance is dirty until `written`."""
        if not changes:
            return
        cached = self.rows(instance_id)
        dirty_before = len(cached.before)
        if not dirty_before:
            if cached.listed is UNREAD:
                cached.listed = entry_of(cached, "")
            self.dirty[instance_id] = cached
        value_bytes = cached.apply(changes)
        # A row that changes again is written once.
        dirty_rows = len(cached.before) - dirty_before
        self.dirty_rows += dirty_rows
        self.dirty_bytes += ROW_BYTES * dirty_rows + value_bytes

    def loaded(self, size: int) -> None:
        """A row of that many bytes came in from the database."""
        self._loaded_bytes += size + ROW_BYTES

    def written(self) -> None:
        """The database has all that was dirty: let go of what has ended, and trim."""
        for instance_id, cached in self.dirty.items():
            cached.written()
            self._weigh(cached)
            if (
                has_ended(cached.rows.get(HEADER))
                or cached.weighed > self._limits.instance_bytes
            ):
                self._leave(instance_id, cached)
        self.dirty = {}
        self.dirty_rows = self.dirty_bytes = 0
        self.trim()

    def trim(self) -> None:
        """Let clean instances go until the cache is within its limits."""
        limits = self._limits
        total_bytes = min(limits.total_bytes, BUDGET.share_bytes)
        if self._weight + self._loaded_bytes > total_bytes:
            self._loaded_bytes = 0
            for cached in self._cached.values():
                self._weigh(cached)
        over, weight = len(self._cached) - limits.instances, self._weight
        leaving: list[tuple[str, CachedRows]] = []
        for instance_id, cached in self._cached.items():
            if over <= 0 and weight <= total_bytes:
                break
            if not cached.before:
                leaving.append((instance_id, cached))
                over -= 1
                weight -= cached.weighed
        for instance_id, cached in leaving:
            self._leave(instance_id, cached)

    def _weigh(self, cached: CachedRows) -> None:
        weight = cached.weight()
        self._weight += weight - cached.weighed
        cached.weighed = weight

    def _leave(self, instance_id: str, cached: CachedRows) -> None:
        del self._cached[instance_id]
        self._weight -= cached.weighed
        self._left[instance_id] = cached

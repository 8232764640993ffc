"""The snapshot store in RocksDB: decoded rows in memory, bytes behind them.

Theory of operation. Readers see the cache; the database is behind it until `flush`,
which writes every changed row, the index keys that follow from it and the position in
one batch. So after a crash the rows are exactly those of the position beside them. Rows
that were applied before `advance` was called belong to no position: they are never
written. A store whose fold was interrupted there is closed without them.

The identity of the store is written with the position, under the same key: so every
database with rows says of which log and fold they are.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.core.status.list_entry import (
    RUNNING,
    entry_of,
    place_of,
    updated_place_of,
)
from sayiir_es.engine.store.cache import (
    UNREAD,
    CachedRows,
    CacheLimits,
    InstanceCache,
)
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.changes import (
    collect,
    collect_index,
    count_change,
    merged,
)
from sayiir_es.engine.store.rocks.codec import decode_row, encode_position
from sayiir_es.engine.store.rocks.database import WRITE_BUFFER_BYTES, RocksDatabase
from sayiir_es.engine.store.rocks.files import (
    delete_store,
    folder_bytes,
    is_damaged,
    mark_damaged,
)
from sayiir_es.engine.store.rocks.listing import (
    collect_counts,
    stored_entries,
    stored_tally,
)
from sayiir_es.engine.store.rocks.opening import open_database
from sayiir_es.engine.store.row_index import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sayiir_es.core.model.rows import Changes, Row
    from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
    from sayiir_es.core.status.search import TimeName
    from sayiir_es.engine.store.port import StoreIdentity
    from sayiir_es.engine.store.rocks.opening import OpenedDatabase

_CHUNK_KEYS = 1_000
"""How many keys a scan reads at once; between chunks the database is free."""


class RocksStore:
    """A `SnapshotStore` in a directory; `open` makes it.

    Attributes:
        notes: What `open` did to a store that it could not use, for the operator.
    """

    def __init__(
        self,
        opened: OpenedDatabase,
        identity: StoreIdentity,
        *,
        limits: CacheLimits,
        write_buffer_bytes: int,
    ) -> None:
        self.notes = opened.notes
        self._database = opened.database
        self._identity = identity
        self._position = self._written_position = opened.position
        self._limits = limits
        self._write_buffer_bytes = write_buffer_bytes
        self._cache = InstanceCache(limits, self._load)
        self._is_positioned = True
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        identity: StoreIdentity,
        *,
        limits: CacheLimits | None = None,
        write_buffer_bytes: int = WRITE_BUFFER_BYTES,
    ) -> RocksStore:
        """Open the store at `path`, or an empty one if that one cannot be used.

        A damaged store is set aside, one of another identity is deleted; `notes` says
        so. The cache has `limits`, a memtable `write_buffer_bytes`.

        Raises:
            StoreError: if another process uses it, the disk refuses, or the directory
                has other files.
        """
        opened = open_database(path, identity, write_buffer_bytes)
        return cls(
            opened,
            identity,
            limits=limits or CacheLimits(),
            write_buffer_bytes=write_buffer_bytes,
        )

    # --- the port ---------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """How far the rows that readers see are folded."""
        return self._position

    @property
    def dirty_rows(self) -> int:
        """How many changed rows are not yet written."""
        return self._cache.dirty_rows

    @property
    def dirty_bytes(self) -> int:
        """About how many bytes `flush` would write. Keep it below one megabyte."""
        return self._cache.dirty_bytes

    @property
    def cached_instances(self) -> int:
        """How many instances are in memory."""
        return len(self._cache)

    def rows(self, instance_id: str) -> CachedRows:
        """The rows of an instance; empty if it has none."""
        return self._cache.rows(instance_id)

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Apply the changes of a fold or of an acknowledged decision."""
        self._is_positioned = False
        self._cache.apply(instance_id, changes)

    def advance(self, position: Position) -> None:
        """Set the position; what was applied before belongs to it."""
        self._position = position
        self._is_positioned = True

    async def flush(self, *, durable: bool = False) -> None:
        """Write the applied changes and the position as one atomic group.

        Without `durable` a killed process may lose the group, always as a whole.

        Raises:
            StoreError: if the disk refuses, or rows were applied and no position was
                set for them. Nothing is lost; it may be tried again.
        """
        self._write()
        if durable:
            await self._database.flush()

    def owing(self) -> Iterator[str]:
        """Instances that may owe an attempt or the rest of a decision, in order."""
        return self._instances_in(keys.OWING)

    def with_permits(self) -> Iterator[str]:
        """Instances with a permit, limits and start queues in use, in order."""
        return self._instances_in(keys.PERMITS)

    def _instances_in(self, index: bytes) -> Iterator[str]:
        previous: str | None = None
        for key in self._index(index, keys.upper_bound(index)):
            instance_id, _ = keys.split(key)
            if instance_id != previous:
                previous = instance_id
                yield instance_id

    def messages(self) -> Iterator[tuple[str, str]]:
        """(Instance id, row key) of every row that owes a message, in order."""
        for key in self._index(keys.MESSAGE, keys.upper_bound(keys.MESSAGE)):
            yield keys.split(key)

    def timers(
        self, until_ms: int, *, after_ms: int = -1
    ) -> Iterator[tuple[int, str, str]]:
        """(due_at, instance id, chain) of every cursor that wakes in a span of time."""
        end = keys.TIMER + keys.time_of(until_ms + 1)
        for key in self._index(keys.TIMER + keys.time_of(after_ms + 1), end):
            yield keys.split_timer(key)

    def entries(
        self,
        *,
        by: TimeName = "started",
        status: str | None = None,
        before: tuple[int, str] | None = None,
    ) -> Iterator[ListEntry]:
        """What lists say of every instance with a run, or of those in a status."""
        place = place_of if by == "started" else updated_place_of
        unwritten = {
            instance_id: entry_of(cached, instance_id)
            for instance_id, cached in self._cache.dirty.items()
        }
        changed = sorted(
            (
                entry
                for entry in unwritten.values()
                if entry is not None
                and (status is None or entry.status == status)
                and (by == "started" or entry.status != RUNNING)
                and (before is None or place(entry) < before)
            ),
            key=place,
            reverse=True,
        )
        stored = stored_entries(self._database, by, status, before)
        if unwritten:
            stored = (one for one in stored if one.instance_id not in unwritten)
        if changed:
            yield from heapq.merge(changed, stored, key=place, reverse=True)
        else:  # as most often: twice as fast
            yield from stored

    def tally(self) -> Mapping[EntryGroup, int] | None:
        """How many instances with a run there are in each group, as of now."""
        counts = stored_tally(self._database)
        if counts is None:
            return None
        for instance_id, cached in self._cache.dirty.items():
            count_change(cached, entry_of(cached, instance_id), counts)
        return {group: count for group, count in counts.items() if count}

    def instances(self, *, after: str | None = None) -> Iterator[str]:
        """Every instance id with rows, in order, from behind `after` on."""
        start = keys.ROW
        if after is not None:
            start += keys.behind(keys.of_instance(after))
        unwritten: list[bytes] = []
        deleted: set[bytes] = set()
        for cached in self._cache.dirty.values():
            key = keys.ROW + cached.instance
            if cached.get(HEADER) is None:
                deleted.add(key)
            elif key >= start:
                unwritten.append(key)
        end = keys.upper_bound(keys.ROW)
        stored = map(
            keys.instance_part, self._scan(start, end, skip=keys.next_instance)
        )
        for key in merged(stored, unwritten, deleted):
            yield keys.split(key)[0]

    @property
    def is_damaged(self) -> bool:
        """Whether it was marked: opened again, it is empty."""
        return is_damaged(self._database.path)

    def mark_damaged(self, reason: str) -> None:
        """Mark it, so that the next opening sets it aside."""
        mark_damaged(self._database.path, reason)

    def disk_bytes(self) -> int:
        """How many bytes its files have; reads their folder, from any thread."""
        return folder_bytes(self._database.path)

    async def reset(self) -> None:
        """Delete everything and open an empty database, at the log's beginning."""
        self._database.abandon()
        delete_store(self._database.path)
        self._database = RocksDatabase(self._database.path, self._write_buffer_bytes)
        self._cache.close()
        self._cache = InstanceCache(self._limits, self._load)
        self._position = self._written_position = Position()
        self._is_positioned = True
        self._closed = False

    async def close(self) -> None:
        """Flush and close files; closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        self._cache.close()
        try:
            if self._is_positioned:
                self._write()
        finally:
            await self._database.close()

    # --- rows that are not in memory --------------------------------------------------

    def _load(self, instance_id: str) -> CachedRows:
        instance = keys.of_instance(instance_id)
        header = self.read(instance, HEADER)
        return CachedRows(
            instance=instance,
            source=self,
            complete=header is None,
            rows={} if header is None else {HEADER: header},
            listed=None if header is None else UNREAD,
        )

    def read(self, instance: bytes, key: str) -> Row | None:
        """One row of the database, or None."""
        data = self._database.get(keys.ROW + instance + key.encode())
        if data is None:
            return None
        self._cache.loaded(len(data))
        return self._decode(data)

    def read_cursors(self, instance: bytes, prefix: str) -> list[tuple[str, Row]]:
        """The cursors of the database whose keys begin with `prefix`."""
        begin = keys.ROW + instance
        start = begin + prefix.encode()
        items = self._database.items(start, keys.upper_bound(start))
        self._cache.loaded(sum(len(data) for _, data in items))
        return [(key[len(begin) :].decode(), self._decode(data)) for key, data in items]

    def read_keys(self, instance: bytes, prefix: str) -> list[str]:
        """The keys of the database that begin with `prefix`."""
        begin = keys.ROW + instance
        start = begin + prefix.encode()
        stored = self._scan(start, keys.upper_bound(start))
        return [key[len(begin) :].decode() for key in stored]

    def _decode(self, data: bytes) -> Row:
        try:
            return decode_row(data)
        except StoreError as error:
            # Its checksum is right, so another build wrote it: this one cannot read it.
            self.mark_damaged(str(error))
            raise

    # --- writing ----------------------------------------------------------------------

    def _write(self) -> None:
        if not self._is_positioned:
            raise StoreError(
                "expected a position for what was applied, but flush came before it"
            )
        if not self._cache.dirty and self._position == self._written_position:
            self._cache.trim()
            return
        puts: dict[bytes, bytes] = {}
        deletes: set[bytes] = set()
        counts: dict[EntryGroup, int] = {}
        for cached in self._cache.dirty.values():
            collect(cached, puts, deletes, counts)
        collect_counts(self._database, counts, puts, deletes)
        puts[keys.POSITION] = encode_position(self._identity, self._position)
        self._database.write(puts, deletes)
        self._written_position = self._position
        self._cache.written()

    # --- indexes ----------------------------------------------------------------------

    def _index(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """Keys of an index, in order, with the changes that are not yet written."""
        added: set[bytes] = set()
        removed: set[bytes] = set()
        for cached in self._cache.dirty.values():
            collect_index(cached, added, removed)
        return merged(
            self._scan(start, end),
            [key for key in added if start <= key < end],
            removed,
        )

    def _scan(
        self, start: bytes, end: bytes, skip: Callable[[bytes], bytes] | None = None
    ) -> Iterator[bytes]:
        while True:
            chunk = self._database.keys(start, end, _CHUNK_KEYS, skip)
            yield from chunk
            if len(chunk) < _CHUNK_KEYS:
                return
            start = skip(chunk[-1]) if skip is not None else chunk[-1] + b"\x00"

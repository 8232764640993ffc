"""RocksDB as a snapshot store needs it: one column family, no write-ahead log.

Theory of operation. Without the write-ahead log a write is in memory only until its
memtable is flushed. Memtables are flushed in order, each as a whole, so a crash loses
the last batches and never a part of one. That is true for one column family only, so
there is one.

`write`, `get` and iterators hold the GIL and run in the loop's thread; `flush` releases
it and runs in a thread of its own, for which `close` waits: closing during a flush is
an error. Closing while an iterator exists closes nothing, so no iterator outlives the
method that makes it.

When RocksDB reports damage, an empty file in the directory marks the store: it is set
aside when it is opened the next time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DbClosedError,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.rocks.files import mark_damaged
from sayiir_es.engine.store.rocks.forked_use import note_use, refuse_after_fork
from sayiir_es.engine.store.state_dir import PLACE_ADVICE
from sayiir_es.log.forked_child import leave_at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

WRITE_BUFFER_BYTES = 16 * 1024 * 1024
"""Size of a memtable. The larger it is, the more a killed process must fold again."""

_BLOCK_CACHE_BYTES = 16 * 1024 * 1024
_OPEN_FILES = 64
_LOG_FILE_BYTES = 1024 * 1024
_TOMBSTONE_WINDOW, _TOMBSTONE_TRIGGER = 1024, 512
"""So many deletions (512) among so many keys in a row (1,024) let a file be compacted:
the indexes are queues, and readers would pass every deleted key."""

_NOT_DAMAGE = (
    "No space left",
    "Disk quota",
    "File too large",
    "Too many open files",
    "Cannot allocate memory",
    "Permission denied",
    "Read-only file system",
    "Input/output error",
)
"""Texts of errors of the machine: the store may be whole, and is not set aside."""


class RocksDatabase:
    """An open database of bytes. All errors are `StoreError`."""

    def __init__(self, path: Path, write_buffer_bytes: int) -> None:
        refuse_after_fork()
        note_use()
        self.path = path
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]  # it is a property, whatever the stub says
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sayiir-store")
        self._closed = False
        with self._guarded():
            path.mkdir(parents=True, exist_ok=True)
            self._rdict = Rdict(str(path), _options(write_buffer_bytes))
            self._rdict.set_write_options(self._write_options)
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Touch no file of it in a forked child: to close it would write to them."""
        self._closed = True

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        try:  # without a context manager, which costs more than the read
            value: bytes | None = self._rdict.get(key)
        except Exception as error:
            self._translate(error)
            raise
        return value

    def get_each(self, keys: list[bytes]) -> list[bytes | None]:
        """The values under several keys; None for one that is not there."""
        with self._guarded():
            return cast("list[bytes | None]", self._rdict.get([*keys]))

    def items(
        self, start: bytes, end: bytes, limit: float = inf
    ) -> list[tuple[bytes, bytes]]:
        """All keys from `start` to before `end`, or `limit`, with their values."""
        with self._guarded(), self._walk(start, end) as walk:
            items: list[tuple[bytes, bytes]] = []
            while len(items) < limit and walk[0].valid():
                items.append((walk[0].key(), walk[0].value()))
                walk[0].next()
            return items

    def keys(
        self,
        start: bytes,
        end: bytes,
        limit: int,
        skip: Callable[[bytes], bytes] | None = None,
    ) -> list[bytes]:
        """At most `limit` keys from `start` to before `end`.

        With `skip`, the search goes on at `skip(key)` after each key.
        """
        with self._guarded(), self._walk(start, end) as walk:
            keys: list[bytes] = []
            while len(keys) < limit and walk[0].valid():
                keys.append(walk[0].key())
                if skip is None:
                    walk[0].next()
                else:
                    walk[0].seek(skip(keys[-1]))
            return keys

    def items_before(
        self, start: bytes, end: bytes, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """At most `limit` keys before `end`, the last first, down to `start`."""
        # Without a lower bound: rocksdict takes that for an upper one.
        with self._guarded(), self._iterator(ReadOptions()) as walk:
            items: list[tuple[bytes, bytes]] = []
            walk[0].seek_for_prev(end)
            if walk[0].valid() and walk[0].key() == end:
                walk[0].prev()
            while len(items) < limit and walk[0].valid():
                key = walk[0].key()
                if key < start:
                    break
                items.append((key, walk[0].value()))
                walk[0].prev()
            return items

    @contextmanager
    def _walk(self, start: bytes, end: bytes) -> Generator[list[RdictIter], None, None]:
        """An iterator from `start` to before `end`, in a list."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        with self._iterator(options) as iterators:
            iterators[0].seek(start)
            yield iterators

    @contextmanager
    def _iterator(self, options: ReadOptions) -> Generator[list[RdictIter]]:
        """An iterator, in a list that is emptied: a traceback would keep it alive."""
        iterators = [self._rdict.iter(options)]
        try:
            yield iterators
            # At damage an iterator only ends; `status` raises then.
            iterators[0].status()
        finally:
            iterators.clear()

    def write(self, puts: dict[bytes, bytes], deletes: set[bytes]) -> None:
        """Put and delete keys as one atomic batch."""
        batch = WriteBatch(raw_mode=True)
        with self._guarded():
            for key in deletes:
                batch.delete(key)
            for key, value in puts.items():
                batch.put(key, value)
            self._rdict.write(batch, self._write_options)

    async def flush(self) -> None:
        """Write everything that is in memory to files."""
        try:
            loop = asyncio.get_running_loop()
            flushing = loop.run_in_executor(self._thread, self._flush)
        except RuntimeError:
            # Python's pools end with the main thread: behind it nobody waits for us.
            self._flush()
            return
        # The thread goes on when the caller is cancelled; `close` waits for it.
        await asyncio.shield(flushing)

    def _flush(self) -> None:
        with self._guarded():
            self._rdict.flush()

    async def close(self) -> None:
        """Write everything to files and close them; closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close files at once; what is in memory only is lost."""
        self._closed = True
        self._thread.shutdown(wait=True)
        with self._guarded():
            self._rdict.close()

    @contextmanager
    def _guarded(self) -> Generator[None, None, None]:
        """Turn errors of RocksDB into `StoreError`, and mark the store if damaged."""
        try:
            yield
        except Exception as error:
            self._translate(error)
            raise

    def _translate(self, error: Exception) -> None:
        """Raise the `StoreError` of an error of RocksDB; other errors stay themselves.

        RocksDB's own errors are plain `Exception`s: there is nothing narrower.
        """
        if isinstance(error, DbClosedError):
            raise StoreError(
                f"expected an open store at {str(self.path)!r}, but it was closed"
            ) from error
        if isinstance(error, OSError):
            raise StoreError(
                f"expected a directory for a store at {str(self.path)!r}, but {error}"
            ) from error
        if type(error) is Exception:
            raise self._failed(str(error)) from error

    def marked(self, error: StoreError) -> StoreError:
        """The error, when the store is marked: what it says cannot be used."""
        mark_damaged(self.path, str(error))
        return error

    def _failed(self, text: str) -> StoreError:
        path = str(self.path)
        if "lock file" in text or "lock hold by" in text:
            return StoreError(
                f"expected to be the only user of the store at {path!r}, but another "
                f"one holds its lock ({text}): give each process a state directory of "
                "its own"
            )
        if any(phrase in text for phrase in _NOT_DAMAGE):
            return StoreError(
                f"expected a usable disk for the store at {path!r}, but {text}: "
                f"{PLACE_ADVICE}"
            )
        return self.marked(
            StoreError(f"expected a readable store at {path!r}, but {text}")
        )


def _options(write_buffer_bytes: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 (its parameter has no better name)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_paranoid_checks(True)
    options.set_max_open_files(_OPEN_FILES)
    options.set_max_background_jobs(2)
    options.set_skip_stats_update_on_db_open(True)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_LOG_FILE_BYTES)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.add_compact_on_deletion_collector_factory(
        _TOMBSTONE_WINDOW, _TOMBSTONE_TRIGGER, 0.5
    )
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_BLOCK_CACHE_BYTES))
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(blocks)
    return options

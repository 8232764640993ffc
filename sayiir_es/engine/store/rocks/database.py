"""RocksDB as a snapshot store needs it: one column family, no write-ahead log.

Theory of operation. Without the write-ahead log a write lives in memory until its
memtable is flushed; memtables are flushed in order and each whole, so a crash loses the
last batches and never part of one. That holds for one column family only, which is why
there is one.

`write`, `get` and iterators hold the GIL and belong to the loop's thread; `flush` lets
go of it and runs in a thread of its own, which `close` waits for: closing during a
flush is an error, and closing while an iterator lives closes nothing. So iterators live
inside one method here.

What RocksDB says about damage is remembered in the directory, by an empty file: the
store is set aside when it is opened next.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

WRITE_BUFFER_BYTES = 16 * 1024 * 1024
"""Size of a memtable. What a killed process must fold again grows with it."""

_BLOCK_CACHE_BYTES = 16 * 1024 * 1024
_OPEN_FILES = 64
_LOG_FILE_BYTES = 1024 * 1024
_TOMBSTONE_WINDOW, _TOMBSTONE_TRIGGER = 1024, 512
"""Timers and debts are a queue: many deletions in a row make a file be compacted."""

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
"""Troubles of the machine: the store may be whole, and stays where it is."""


class RocksDatabase:
    """An open database of bytes. All errors are `StoreError`."""

    def __init__(self, path: Path, write_buffer_bytes: int) -> None:
        self.path = path
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True  # type: ignore[method-assign,assignment]  # it is a property, whatever the stub says
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sayiir-store")
        self._closed = False
        with self._guarded():
            path.mkdir(parents=True, exist_ok=True)
            self._rdict = Rdict(str(path), _options(write_buffer_bytes))
            self._rdict.set_write_options(self._write_options)

    def get(self, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        with self._guarded():
            found: bytes | None = self._rdict.get(key)
            return found

    def items(self, start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        """All keys from `start` up to, not including, `end`, with their values."""
        with self._guarded(), self._walk(start, end) as walk:
            found: list[tuple[bytes, bytes]] = []
            while walk[0].valid():
                found.append((walk[0].key(), walk[0].value()))
                walk[0].next()
            return found

    def keys(
        self,
        start: bytes,
        end: bytes,
        limit: int,
        skip: Callable[[bytes], bytes] | None = None,
    ) -> list[bytes]:
        """At most `limit` keys from `start` up to, not including, `end`.

        With `skip` the key after a found one is sought from what it makes of that one.
        """
        with self._guarded(), self._walk(start, end) as walk:
            found: list[bytes] = []
            while len(found) < limit and walk[0].valid():
                found.append(walk[0].key())
                if skip is None:
                    walk[0].next()
                else:
                    walk[0].seek(skip(found[-1]))
            return found

    @contextmanager
    def _walk(self, start: bytes, end: bytes) -> Generator[list[RdictIter], None, None]:
        """An iterator, in a list that gives it up: a traceback would keep it alive."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        held = [self._rdict.iter(options)]
        try:
            held[0].seek(start)
            yield held
            # An iterator that met damage only ends; its status tells.
            held[0].status()
        finally:
            held.clear()

    def write(self, puts: dict[bytes, bytes], deletes: set[bytes]) -> None:
        """Write all of it, or nothing."""
        batch = WriteBatch(raw_mode=True)
        with self._guarded():
            for key in deletes:
                batch.delete(key)
            for key, value in puts.items():
                batch.put(key, value)
            self._rdict.write(batch, self._write_options)

    async def flush(self) -> None:
        """Bring everything written so far to files."""
        flushing = asyncio.get_running_loop().run_in_executor(self._thread, self._flush)
        # The thread goes on when the caller is cancelled; `close` waits for it.
        await asyncio.shield(flushing)

    def _flush(self) -> None:
        with self._guarded():
            self._rdict.flush()

    async def close(self) -> None:
        """Bring everything to files and close them."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close files at once, without care for what is in memory only."""
        self._closed = True
        self._thread.shutdown(wait=True)
        with self._guarded():
            self._rdict.close()

    @contextmanager
    def _guarded(self) -> Generator[None, None, None]:
        """Make what RocksDB raises a `StoreError`, and remember damage."""
        try:
            yield
        except DbClosedError as error:
            raise StoreError(
                f"expected an open store at {str(self.path)!r}, but it was closed"
            ) from error
        except OSError as error:
            raise StoreError(
                f"expected a directory for a store at {str(self.path)!r}, but {error}"
            ) from error
        except Exception as error:
            # Nothing narrower exists: everything RocksDB says is a plain `Exception`.
            if type(error) is not Exception:
                raise
            raise self._failed(str(error)) from error

    def _failed(self, text: str) -> StoreError:
        path = str(self.path)
        if "lock file" in text or "lock hold by" in text:
            return StoreError(
                f"expected to be the only user of the store at {path!r}, but another "
                f"one holds its lock ({text})"
            )
        if not any(trouble in text for trouble in _NOT_DAMAGE):
            mark_damaged(self.path)
        return StoreError(f"expected a readable store at {path!r}, but {text}")


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

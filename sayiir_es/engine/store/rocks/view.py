"""Reads the stores of a state directory while other processes write them.

Theory of operation. RocksDB lets one process write; others may read what is in its
files. A reader sees the store as of its last durable flush, and as a whole: the
position is in the same batch as the rows that it belongs to.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rocksdict import AccessType, Options, Rdict, ReadOptions

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.rows import DictRows
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import decode_position, decode_row
from sayiir_es.engine.store.rocks.files import refuse_endless_manifest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path
    from types import TracebackType

    from sayiir_es.core.model.position import Position
    from sayiir_es.engine.store.port import StoreIdentity

_CHUNK_KEYS = 256
"""How many rows are read at once."""

_MARKER = "CURRENT"
"""The name of a file that every RocksDB has."""


class StoreView:
    """One partition's store, open for reading; a context manager.

    Attributes:
        path: Its directory.
        is_empty: Whether nothing is in its files yet: its owner was killed before the
            first flush. Then neither of the other two is set.
        identity: Of which log and fold its rows are.
        position: How far they are folded.
    """

    identity: StoreIdentity
    position: Position

    def __init__(self, path: Path) -> None:
        """Open the store in a directory.

        Raises:
            StoreError: if it is no store of this build, or damaged.
        """
        self.path = path
        refuse_endless_manifest(path)
        with self._guarded():
            self._rdict = Rdict(
                str(path), Options(raw_mode=True), access_type=AccessType.read_only()
            )
            stamp = self._rdict.get(keys.POSITION)
            first = self._rdict.iter(ReadOptions())
            first.seek_to_first()
            self.is_empty = stamp is None and not first.valid()
            first.status()
        if not self.is_empty:
            self.identity, self.position = decode_position(stamp or b"")

    def rows(self, instance_id: str) -> DictRows:
        """The rows of an instance; empty if it has none.

        Raises:
            StoreError: if the store is damaged.
        """
        start = keys.ROW + keys.of_instance(instance_id)
        rows = DictRows()
        for key, data in self._items(start):
            rows.rows[key[len(start) :].decode()] = decode_row(data)
        return rows

    def instances(self) -> Iterator[tuple[str, DictRows]]:
        """Every instance with its rows, in the order of ids.

        Raises:
            StoreError: if the store is damaged.
        """
        last, rows = "", DictRows()
        for key, data in self._items(keys.ROW):
            instance_id, row_key = keys.split(key)
            if instance_id != last and rows.rows:
                yield last, rows
                rows = DictRows()
            last = instance_id
            rows.rows[row_key] = decode_row(data)
        if rows.rows:
            yield last, rows

    def _items(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        options = ReadOptions()
        options.set_iterate_upper_bound(keys.upper_bound(start))
        with self._guarded():
            cursor = self._rdict.iter(options)
            cursor.seek(start)
        while True:
            # Read before yielding: an error of the caller is not one of the store.
            with self._guarded():
                chunk: list[tuple[bytes, bytes]] = []
                while len(chunk) < _CHUNK_KEYS and cursor.valid():
                    chunk.append((cursor.key(), cursor.value()))
                    cursor.next()
                # At damage an iterator only ends; `status` raises then.
                cursor.status()
            if not chunk:
                return
            yield from chunk

    @contextmanager
    def _guarded(self) -> Generator[None]:
        """Turn errors of RocksDB into `StoreError`."""
        try:
            yield
        except Exception as error:
            # There is nothing narrower: RocksDB's errors are plain `Exception`s.
            if type(error) is not Exception:
                raise
            raise StoreError(
                f"expected a readable store at {str(self.path)!r}, but {error}"
            ) from error

    def close(self) -> None:
        """Close files."""
        self._rdict.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def stores_under(state_dir: Path) -> list[Path]:
    """The paths of the stores in a state directory: of every app, slot and partition.

    Raises:
        StoreError: if there is none.
    """
    paths = sorted(
        marker.parent
        for pattern in ("*", "*/*", "*/*/*")
        for marker in state_dir.glob(f"{pattern}/{_MARKER}")
        if marker.parent.name.isdecimal()
    )
    if not paths:
        raise StoreError(
            f"expected stores in {str(state_dir)!r}, but there is none; "
            "`sayiir-es projector run` makes them"
        )
    return paths

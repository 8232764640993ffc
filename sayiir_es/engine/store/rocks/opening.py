"""Opens the database of a store, or an empty one if the store cannot be used.

A store is a cache of the log, so no defect of it stops a worker: a damaged one is set
aside, one of another log or fold is deleted. A note for the operator says so. A
directory with other files is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import decode_position
from sayiir_es.engine.store.rocks.database import RocksDatabase
from sayiir_es.engine.store.rocks.files import (
    damage_of,
    delete_store,
    is_damaged,
    mark_damaged,
    refuse_endless_manifest,
    refuse_foreign_files,
    set_aside,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.store.port import StoreIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedDatabase:
    """An open database and its position; `notes` are for the operator."""

    database: RocksDatabase
    position: Position
    notes: tuple[str, ...] = ()


def open_database(
    path: Path, identity: StoreIdentity, write_buffer_bytes: int
) -> OpenedDatabase:
    """The database at `path` if it has that identity, else an empty one.

    Raises:
        StoreError: if another process uses it, the machine refuses, or the directory
            has other files.
    """
    refuse_foreign_files(path)
    try:
        return _open(path, identity, write_buffer_bytes)
    except StoreError as error:
        if not is_damaged(path):
            raise
        note = f"{error}; it was set aside as {str(set_aside(path))!r}"
    return OpenedDatabase(
        database=RocksDatabase(path, write_buffer_bytes),
        position=Position(),
        notes=(note,),
    )


def _open(
    path: Path, identity: StoreIdentity, write_buffer_bytes: int
) -> OpenedDatabase:
    if is_damaged(path):
        reason = damage_of(path)
        raise StoreError(
            reason or f"expected a whole store at {str(path)!r}, but it was damaged"
        )
    try:
        refuse_endless_manifest(path)
    except StoreError as error:
        mark_damaged(path, str(error))
        raise
    database = RocksDatabase(path, write_buffer_bytes)
    try:
        stamp = _read_stamp(database)
    except StoreError:
        database.abandon()
        raise
    if stamp is None:
        return OpenedDatabase(database=database, position=Position())
    stored_identity, position = stamp
    if stored_identity == identity:
        return OpenedDatabase(database=database, position=position)
    database.abandon()
    delete_store(path)
    note = (
        f"expected a store of {identity}, but the one at {str(path)!r} was of "
        f"{stored_identity}; it was deleted"
    )
    return OpenedDatabase(
        database=RocksDatabase(path, write_buffer_bytes),
        position=Position(),
        notes=(note,),
    )


def _read_stamp(database: RocksDatabase) -> tuple[StoreIdentity, Position] | None:
    """The identity and position in a database; None if it is empty."""
    stamp = database.get(keys.POSITION)
    if stamp is None and not database.keys(b"", b"\xff", 1):
        return None
    try:
        return decode_position(stamp or b"")
    except StoreError as error:
        mark_damaged(database.path, str(error))
        raise

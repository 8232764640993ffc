"""Open the database of a store, or an empty one where what is there is of no use.

A store is a cache of the log, so nothing that is wrong with it stops a worker: a
damaged one is set aside for whoever wants to look at it, one of another log or fold is
deleted. Both are told in words. What is not ours is never touched.
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
class Opened:
    """An open database, where its rows stand, and what happened on the way."""

    database: RocksDatabase
    position: Position
    notes: tuple[str, ...] = ()


def open_database(
    path: Path, identity: StoreIdentity, write_buffer_bytes: int
) -> Opened:
    """The database at `path` if it is one of `identity`, else an empty one.

    Raises:
        StoreError: if another process uses it, the machine refuses, or the directory
            holds other people's files.
    """
    refuse_foreign_files(path)
    try:
        return _open(path, identity, write_buffer_bytes)
    except StoreError as error:
        if not is_damaged(path):
            raise
        note = f"{error}; it was set aside as {str(set_aside(path))!r}"
    return Opened(
        database=RocksDatabase(path, write_buffer_bytes),
        position=Position(),
        notes=(note,),
    )


def _open(path: Path, identity: StoreIdentity, write_buffer_bytes: int) -> Opened:
    if is_damaged(path):
        raise StoreError(f"expected a whole store at {str(path)!r}, but it was damaged")
    try:
        refuse_endless_manifest(path)
    except StoreError:
        mark_damaged(path)
        raise
    database = RocksDatabase(path, write_buffer_bytes)
    try:
        found = _stamp(database)
    except StoreError:
        database.abandon()
        raise
    if found is None:
        return Opened(database=database, position=Position())
    whose, position = found
    if whose == identity:
        return Opened(database=database, position=position)
    database.abandon()
    delete_store(path)
    note = (
        f"expected a store of {identity}, but the one at {str(path)!r} was of {whose}; "
        "it was deleted"
    )
    return Opened(
        database=RocksDatabase(path, write_buffer_bytes),
        position=Position(),
        notes=(note,),
    )


def _stamp(database: RocksDatabase) -> tuple[StoreIdentity, Position] | None:
    """Whose rows stand in the database, and at what; None if it is empty."""
    stamp = database.get(keys.POSITION)
    if stamp is None and not database.keys(b"", b"\xff", 1):
        return None
    try:
        return decode_position(stamp or b"")
    except StoreError:
        mark_damaged(database.path)
        raise

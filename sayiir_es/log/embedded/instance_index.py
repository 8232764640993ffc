"""The index of instances in the file of an embedded log, which damage may not shorten.

Theory of operation. The checksum of a record tells that a record is another one; it
cannot tell that the index leaves one out. So the index is walked as it lies on the
disk: from the first entry of a key to the first of another key, without the end that a
query would put there, and the entries next to the walk are looked at, too. If one key
in the index is damaged, the search goes astray beside it, or the walk stops at it: in
each case the damaged entry is a neighbour. Every entry is held to its record.
"""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sayiir_es.log.embedded.rows import bounds, guarded, read_at

if TYPE_CHECKING:
    import sqlite3

    from sayiir_es.log.embedded.checksum import StoredPartition
    from sayiir_es.log.port import Record

_ENTRIES = (
    "SELECT key, partition, offset FROM records INDEXED BY instance"
    " WHERE topic = 'events'"
)
_ORDER = " ORDER BY key, partition, offset"
_BACKWARDS = " ORDER BY key DESC, partition DESC, offset DESC LIMIT 1"


def read_key(
    connection: sqlite3.Connection, stored: StoredPartition, key: bytes
) -> list[Record]:
    """Return the events of one key and those without a key, in order of offset.

    Raises:
        DamagedLogError: a record, or the index, is not what was written.
    """
    with guarded(stored, 0):
        _, end = bounds(connection, stored)  # before the walk: the log may grow
        records, first_key = _walk_claims(connection, stored)
        if not records and first_key is None and end:
            raise stored.damage(0, "the index of instances is empty")
        records += _walk_key(connection, stored, key, first_key)
    return sorted(records, key=lambda record: record.offset)


def _walk_claims(
    connection: sqlite3.Connection, stored: StoredPartition
) -> tuple[list[Record], bytes | None]:
    """The records without a key, which come first, and the first key behind them."""
    records: list[Record] = []
    first_key = None
    with closing(connection.execute(_ENTRIES + _ORDER)) as entries:
        for entry in entries:
            record = _held(connection, stored, entry)
            first_key = entry[0]
            if first_key is not None:
                break
            if record is not None:
                records.append(record)
    return _in_order(stored, records), first_key


def _in_order(stored: StoredPartition, records: list[Record]) -> list[Record]:
    """The records of a walk; an entry that names the record of another is damage."""
    for before, record in pairwise(records):
        if before.offset >= record.offset:
            raise stored.damage(record.offset, "the index of instances repeats it")
    return records


def _walk_key(
    connection: sqlite3.Connection,
    stored: StoredPartition,
    key: bytes,
    first_key: bytes | None,
) -> list[Record]:
    """The records of a key."""
    before = connection.execute(f"{_ENTRIES} AND key < ?{_BACKWARDS}", (key,))
    neighbours = before.fetchall()
    for entry in neighbours:
        _held(connection, stored, entry)
    if not neighbours and first_key is not None and first_key < key:
        # An entry without a key ended the search: it stands among those with one.
        raise stored.damage(0, "the index of instances is not in order")
    records: list[Record] = []
    query = f"{_ENTRIES} AND key >= ?{_ORDER}"
    with closing(connection.execute(query, (key,))) as entries:
        for entry in entries:
            record = _held(connection, stored, entry)
            if entry[0] != key:
                break
            if record is not None:
                records.append(record)
    return _in_order(stored, records)


def _held(
    connection: sqlite3.Connection, stored: StoredPartition, entry: Any
) -> Record | None:
    """Return the record of an entry of the index; None for another partition's."""
    key, partition, offset = entry
    if type(partition) is not int or type(offset) is not int:
        raise stored.damage(0, f"the index of instances names {partition!r}@{offset!r}")
    if partition == stored.partition:
        record = read_at(connection, stored, offset)
        keys = [record.key]
    else:
        record = None
        query = (
            "SELECT key FROM records"
            " WHERE topic = 'events' AND partition = ? AND offset = ?"
        )
        keys = [row[0] for row in connection.execute(query, (partition, offset))]
    if keys != [key]:
        raise stored.damage(offset, "the index of instances has another key for it")
    return record

"""What lists and counts read of the database: entries in an order, and groups.

Theory of operation. An instance's entry stands once, by the time of its start. Two more
indexes name it: by status and start, so that the few that failed are found among a
million; and by status and last event, so that the last that changed are. Those in
progress are not in that one: they change with each step. A number under each group of
instances says how many are in it, and changes in the batch that changes them; so counts
by what a group tells cost a look at the groups.
"""

from __future__ import annotations

import heapq
from itertools import groupby
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.status.list_entry import updated_place_of
from sayiir_es.engine.store.port import GROUPS_MAX
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import (
    decode_entry,
    decode_group,
    encode_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
    from sayiir_es.core.status.search import TimeName
    from sayiir_es.engine.store.rocks.database import RocksDatabase

_FIRST_KEYS, _CHUNK_KEYS = 64, 1_000
"""How many keys are read at once: a page is short, and a count reads all."""

_COUNT_BYTES = 8


def stored_entries(
    database: RocksDatabase,
    by: TimeName,
    status: str | None,
    before: tuple[int, str] | None,
) -> Iterator[ListEntry]:
    """The entries of the database, the last first, of one status or of all.

    Raises:
        StoreError: if the database has something else there.
    """
    place = b""
    if before is not None:
        place = keys.time_of(before[0]) + keys.of_instance(before[1])
    if status is not None:
        return _named(database, keys.index_of(by, status), place)
    if by == "started":
        return _listed(database, place)
    ranges = [_named(database, keys.index_of(by, one), place) for one in keys.STATUSES]
    merged = heapq.merge(*ranges, key=updated_place_of, reverse=True)
    # One that changed its status meanwhile may come twice, in the same place.
    return (next(same) for _, same in groupby(merged, updated_place_of))


def _listed(database: RocksDatabase, place: bytes) -> Iterator[ListEntry]:
    for chunk in _chunks(database, keys.LISTED, place):
        for key, value in chunk:
            yield _decode(database, key, value)


def _named(database: RocksDatabase, index: bytes, place: bytes) -> Iterator[ListEntry]:
    """The entries that an index with a status names."""
    for chunk in _chunks(database, index, place):
        listed = [_listed_key(key, start) for key, start in chunk]
        for key, value in zip(listed, database.get_each(listed), strict=True):
            if value is None:
                raise database.marked(
                    StoreError(
                        "expected an entry for each key of an index, but the store "
                        f"has none at {key!r:.200}"
                    )
                )
            yield _decode(database, key, value)


def _listed_key(key: bytes, start: bytes) -> bytes:
    """Where the entry stands that a key names; `start` is empty if it is in the key."""
    place = keys.behind_status(key)
    return keys.LISTED + (start + place[keys.TIME_BYTES :] if start else place)


def _chunks(
    database: RocksDatabase, index: bytes, place: bytes
) -> Iterator[list[tuple[bytes, bytes]]]:
    end = index + place if place else keys.upper_bound(index)
    limit = _FIRST_KEYS
    while chunk := database.items_before(index, end, limit):
        yield chunk
        if len(chunk) < limit:
            return
        end, limit = chunk[-1][0], _CHUNK_KEYS


def _decode(database: RocksDatabase, key: bytes, value: bytes) -> ListEntry:
    try:
        started_at, instance_id, _ = keys.split_timer(key)
        return decode_entry(value, instance_id, started_at)
    except StoreError as error:
        raise database.marked(error)  # noqa: B904 (the same one)


# --- counts ---------------------------------------------------------------------------


def stored_tally(database: RocksDatabase) -> dict[EntryGroup, int] | None:
    """How many instances the database has in each group; None: of too many groups.

    Raises:
        StoreError: if the database has something else there.
    """
    end = keys.upper_bound(keys.COUNTED)
    items = database.items(keys.COUNTED, end, GROUPS_MAX + 1)
    if len(items) > GROUPS_MAX:
        return None
    try:
        return {
            decode_group(key[len(keys.COUNTED) :]): int.from_bytes(value, "big")
            for key, value in items
        }
    except StoreError as error:
        raise database.marked(error)  # noqa: B904 (the same one)


def collect_counts(
    database: RocksDatabase,
    changes: Mapping[EntryGroup, int],
    puts: dict[bytes, bytes],
    deletes: set[bytes],
) -> None:
    """Add what is to be written where so many instances came to each group.

    Raises:
        StoreError: if more would leave a group than are in it.
    """
    changed = [(group, change) for group, change in changes.items() if change]
    counted = [keys.COUNTED + encode_group(group) for group, _ in changed]
    stored = database.get_each(counted) if counted else []
    for key, value, (group, change) in zip(counted, stored, changed, strict=True):
        count = int.from_bytes(value or b"", "big") + change
        if count < 0:
            raise database.marked(
                StoreError(
                    f"expected at least {-change} instances in a group, but the store "
                    f"counts {count - change} in {group!r:.300}"
                )
            )
        if count:
            puts[key] = count.to_bytes(_COUNT_BYTES, "big")
        else:
            deletes.add(key)

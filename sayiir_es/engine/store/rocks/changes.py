"""What to write to the database for instances that changed: rows and index keys."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.core.model.child_rows import MESSAGES, owes_message
from sayiir_es.core.status.list_entry import RUNNING, entry_of, group_of
from sayiir_es.engine.store.cache import UNREAD
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import encode_entry, encode_row
from sayiir_es.engine.store.row_index import (
    CURSOR_PREFIX,
    HEADER,
    INDEXED,
    PERMITS,
    QUEUES,
    has_ended,
    holds_permits,
    may_owe,
    wakes_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
    from sayiir_es.engine.store.cache import CachedRows

_IN_AN_INDEX = frozenset(key[0] for key in (*INDEXED, *MESSAGES, *PERMITS, *QUEUES))
"""The first letters of the keys of rows that may stand in any index."""


def collect(
    cached: CachedRows,
    puts: dict[bytes, bytes],
    deletes: set[bytes],
    counts: MutableMapping[EntryGroup, int],
) -> None:
    """Add what one instance's changes put into the database and delete from it.

    And to `counts` how many more instances they leave in each group.
    """
    begin = keys.ROW + cached.instance
    rows, before = cached.rows, cached.before
    for key, old in before.items():
        row = rows[key]
        if row is not None:
            puts[begin + key.encode()] = encode_row(row)
        elif old is not None:
            deletes.add(begin + key.encode())
    added: set[bytes] = set()
    collect_index(cached, added, deletes)
    if added:
        puts.update(dict.fromkeys(added, b""))
    _collect_entry(cached, puts, deletes)
    count_change(cached, cached.to_list, counts)


def _collect_entry(
    cached: CachedRows, puts: dict[bytes, bytes], deletes: set[bytes]
) -> None:
    """What lists say of the instance now, and no more what they said before."""
    instance, before = cached.instance, cached.listed
    entry = cached.to_list = entry_of(cached, "")
    is_in_place = False
    if before is not None and before is not UNREAD:
        is_in_place = (
            entry is not None
            and entry.started_at == before.started_at
            and entry.status == before.status
        )
        if not is_in_place:
            deletes.update(_place_keys(before, instance))
        if before.status != RUNNING:
            deletes.add(keys.updated(before, instance))
    if entry is None:
        return
    # Deletes come first in a batch: what it was before may be there again.
    start = keys.time_of(entry.started_at)
    puts[keys.LISTED + start + instance] = encode_entry(entry)
    if entry.status != RUNNING:
        puts[keys.updated(entry, instance)] = start
    if not is_in_place:
        puts[keys.in_status(entry, instance)] = b""


def _place_keys(entry: ListEntry, instance: bytes) -> tuple[bytes, bytes]:
    """The keys by which an instance is found by the time of its start."""
    return keys.listed(entry.started_at, instance), keys.in_status(entry, instance)


def entry_items(entry: ListEntry, instance: bytes) -> dict[bytes, bytes]:
    """What the database has so that lists find an instance."""
    listed, in_status = _place_keys(entry, instance)
    items = {listed: encode_entry(entry), in_status: b""}
    if entry.status != RUNNING:
        items[keys.updated(entry, instance)] = keys.time_of(entry.started_at)
    return items


def count_change(
    cached: CachedRows,
    entry: ListEntry | None,
    counts: MutableMapping[EntryGroup, int],
) -> None:
    """Count an instance in the group of its entry, and no more where it was."""
    before = cached.listed
    old = None if before is None or before is UNREAD else group_of(before)
    new = None if entry is None else group_of(entry)
    if old == new:
        return
    if old is not None:
        counts[old] = counts.get(old, 0) - 1
    if new is not None:
        counts[new] = counts.get(new, 0) + 1


def collect_index(cached: CachedRows, added: set[bytes], removed: set[bytes]) -> None:
    """Add how one instance's changes that are not yet written change the indexes."""
    ended_before = has_ended(cached.stored(HEADER))
    ended = has_ended(cached.get(HEADER))
    changed: set[str] = set()
    for key in cached.before:
        kind = key[0]
        if kind not in _IN_AN_INDEX:
            continue  # as most rows: a value
        if kind in INDEXED:
            changed.add(key)
        elif kind in MESSAGES:
            _collect_message(cached, key, added, removed)
        elif kind in PERMITS or key in QUEUES:
            _collect_permit(cached, key, added, removed)
    if ended != ended_before:
        changed.add(HEADER)
        changed.update(cached.keys(CURSOR_PREFIX))
    for key in changed:
        old = None if ended_before else cached.stored(key)
        new = None if ended else cached.get(key)
        owes = may_owe(new)
        if owes != may_owe(old):
            index = keys.OWING + cached.instance + key.encode()
            (added if owes else removed).add(index)
        due_before, due_at = wakes_at(old), wakes_at(new)
        if due_at != due_before:
            chain = key.removeprefix(CURSOR_PREFIX)
            removed.update(_timers(due_before, cached.instance, chain))
            added.update(_timers(due_at, cached.instance, chain))


def _timers(due_at: int | None, instance: bytes, chain: str) -> tuple[bytes, ...]:
    """The key of the timer of a cursor, if it has one."""
    return () if due_at is None else (keys.timer(due_at, instance, chain),)


def _collect_message(
    cached: CachedRows, key: str, added: set[bytes], removed: set[bytes]
) -> None:
    """The same for the index of what is owed to other instances."""
    owes = owes_message(key, cached.get(key))
    if owes != owes_message(key, cached.stored(key)):
        index = keys.MESSAGE + cached.instance + key.encode()
        (added if owes else removed).add(index)


def _collect_permit(
    cached: CachedRows, key: str, added: set[bytes], removed: set[bytes]
) -> None:
    """The same for the index of permits, which holds what has ended, too."""
    holds = holds_permits(cached.get(key))
    if holds != holds_permits(cached.stored(key)):
        index = keys.PERMITS + cached.instance + key.encode()
        (added if holds else removed).add(index)


def merged(
    stored: Iterator[bytes], added: list[bytes], removed: set[bytes]
) -> Iterator[bytes]:
    """Sorted stored keys and added keys as one sequence, without the removed ones."""
    previous: bytes | None = None
    for key in heapq.merge(stored, sorted(added)):
        if key != previous and key not in removed:
            yield key
        previous = key

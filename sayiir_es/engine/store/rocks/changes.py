"""What to write to the database for instances that changed: rows and index keys."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import Run
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import encode_entry, encode_row
from sayiir_es.engine.store.row_index import (
    CURSOR_PREFIX,
    HEADER,
    INDEXED,
    PERMITS,
    RUN,
    has_ended,
    holds_permits,
    may_owe,
    wakes_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.engine.store.cache import CachedRows


def collect(cached: CachedRows, puts: dict[bytes, bytes], deletes: set[bytes]) -> None:
    """Add what one instance's changes put into the database and delete from it."""
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
    puts.update(dict.fromkeys(added, b""))
    _collect_entry(cached, puts, deletes)


def _collect_entry(
    cached: CachedRows, puts: dict[bytes, bytes], deletes: set[bytes]
) -> None:
    """What lists say of the instance now, and no more what they said before."""
    entry = entry_of(cached, "")
    old_run = cached.stored(RUN)
    if isinstance(old_run, Run) and (
        entry is None or entry.started_at != old_run.started_at
    ):
        deletes.add(keys.listed(old_run.started_at, cached.instance))
    if entry is not None:
        puts[keys.listed(entry.started_at, cached.instance)] = encode_entry(entry)


def collect_index(cached: CachedRows, added: set[bytes], removed: set[bytes]) -> None:
    """Add how one instance's changes that are not yet written change the indexes."""
    ended_before = has_ended(cached.stored(HEADER))
    ended = has_ended(cached.get(HEADER))
    changed = {key for key in cached.before if key.startswith(INDEXED)}
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
            if due_before is not None:
                removed.add(keys.timer(due_before, cached.instance, chain))
            if due_at is not None:
                added.add(keys.timer(due_at, cached.instance, chain))
    _collect_permits(cached, added, removed)


def _collect_permits(
    cached: CachedRows, added: set[bytes], removed: set[bytes]
) -> None:
    """The same for the index of permits, which holds what has ended, too."""
    for key in cached.before:
        if key.startswith(PERMITS):
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

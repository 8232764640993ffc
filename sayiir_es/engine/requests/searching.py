"""Searches of the instances of one partition, in portions of the event loop.

The store has an entry of each instance, ordered by the time of its start. So the last
fifty that match are found without a look at the others, unless few match; a search by
the time of the last event, and a count, read the entries of all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sayiir_es.core.status.list_entry import ListEntry
    from sayiir_es.core.status.search import Search
    from sayiir_es.engine.definitions.code import Stranding
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.requests import Groups

TURN_ENTRIES = 500
"""Entries read before other tasks of the loop may run: some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The instances of a store, as a search sees them.

    `stranding` says which are stranded, None where nobody knows; `now_ms` is the time.
    """

    store: SnapshotStore
    stranding: Stranding | None
    now_ms: int

    def matches(self, search: Search, entry: ListEntry) -> bool:
        """Whether an instance is among what is searched."""
        if search.matches(entry):
            return True
        if self.stranding is None or not search.may_match(entry):
            return False
        rows = self.store.rows(entry.instance_id)
        return self.stranding.find(rows, self.now_ms) is not None


async def newest(
    searched: Searched, search: Search, limit: int, before: tuple[int, str] | None
) -> tuple[list[tuple[int, str]], bool]:
    """The last `limit` that match, with their times, the last first; whether all.

    `before` is the (time, instance id) behind which to begin.
    """
    store = searched.store
    if search.is_by_start:
        return await _newest_started(searched, search, limit, before)
    last: list[tuple[int, str]] = []
    is_all = True
    async for entry in in_turns(store.entries()):
        place = (entry.updated_at, entry.instance_id)
        if before is not None and place >= before:
            continue
        if not searched.matches(search, entry):
            continue
        if len(last) < limit:
            heapq.heappush(last, place)
        else:
            is_all = False
            heapq.heappushpop(last, place)
    return sorted(last, reverse=True), is_all


async def _newest_started(
    searched: Searched, search: Search, limit: int, before: tuple[int, str] | None
) -> tuple[list[tuple[int, str]], bool]:
    found: list[tuple[int, str]] = []
    async for entry in in_turns(searched.store.entries(before=before)):
        # Those behind it were started before; one of them may have changed since.
        if (
            search.by == "started"
            and search.since_ms is not None
            and entry.started_at < search.since_ms
        ):
            break
        if searched.matches(search, entry):
            if len(found) == limit:
                return found, False
            found.append((entry.started_at, entry.instance_id))
    return found, True


async def count(searched: Searched, search: Search, by: Groups) -> Counter[str]:
    """How many match, by group."""
    group = GROUP_OF[by]
    counts: Counter[str] = Counter()
    async for entry in in_turns(searched.store.entries()):
        if searched.matches(search, entry):
            counts[group(entry)] += 1
    return counts


async def in_turns(entries: Iterator[ListEntry]) -> AsyncIterator[ListEntry]:
    """Yield entries, and give others a turn of the event loop now and then."""
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number % TURN_ENTRIES == 0:
            await asyncio.sleep(0)


GROUP_OF: dict[Groups, Callable[[ListEntry], str]] = {
    "all": lambda _: "",
    "status": lambda entry: entry.status,
    "workflow": lambda entry: entry.workflow,
    "error_type": lambda entry: entry.error_type or "",
}

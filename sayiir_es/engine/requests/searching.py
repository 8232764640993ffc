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
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.status.list_entry import place_of
from sayiir_es.core.status.search import Search
from sayiir_es.core.status.waits import without_code
from sayiir_es.wire.searches import group_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sayiir_es.core.status.list_entry import ListEntry
    from sayiir_es.core.status.waits import WaitedKind
    from sayiir_es.engine.definitions.code import Lack, Stranding
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.searches import Groups

TURN_ENTRIES = 200
"""Entries read before other tasks of the loop may run: one or two milliseconds."""


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
        if not search.asks_for_code:
            return search.matches(entry)
        if not search.may_match(entry):
            return False
        lack = self.find_lack(entry)
        return search.matches(
            entry,
            _waited(entry, lack),
            is_stranded=lack is not None and lack.is_code,
        )

    def find_lack(self, entry: ListEntry) -> Lack | None:
        """What the owner lacks for an attempt of an instance that is due."""
        stranding = self.stranding
        if (
            stranding is None
            or entry.status != "in_progress"
            or not stranding.may_lack(entry.graph_digest)
        ):
            return None
        return stranding.find_lack(self.store.rows(entry.instance_id), self.now_ms)

    def waited(self, entry: ListEntry) -> tuple[str, ...]:
        """What an instance waits for, with regard to what its owner lacks."""
        return _waited(entry, self.find_lack(entry)) if entry.waited else ()


def _waited(entry: ListEntry, lack: Lack | None) -> tuple[str, ...]:
    if lack is None:
        return entry.waited
    kind: WaitedKind = "code" if lack.is_code else "tag"
    return without_code(entry.waited, node_name(lack.path), kind)


class Page(NamedTuple):
    """The last that match, with their times, the last first.

    `is_all` says that none stands behind them. `reached` is up to where it was looked,
    if that ended because time was up.
    """

    found: list[tuple[int, str]]
    is_all: bool
    reached: tuple[int, str] | None = None


async def newest(
    searched: Searched,
    search: Search,
    limit: int,
    before: tuple[int, str] | None,
    *,
    within_s: float | None = None,
) -> Page:
    """The last `limit` that match; where they are sorted by the start, within a time.

    `before` is the (time, instance id) behind which to begin. A search by the last
    change looks at all, for they are not in that order.
    """
    store = searched.store
    if search.is_by_start:
        return await _newest_started(searched, search, limit, before, within_s)
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
    return Page(sorted(last, reverse=True), is_all)


async def _newest_started(
    searched: Searched,
    search: Search,
    limit: int,
    before: tuple[int, str] | None,
    within_s: float | None,
) -> Page:
    found: list[tuple[int, str]] = []
    loop = asyncio.get_running_loop()
    end_s = inf if within_s is None else loop.time() + within_s
    before = _first_place(search, before)
    number = 0
    async for entry in in_turns(searched.store.entries(before=before)):
        number += 1
        # Those behind it were started before; one of them may have changed since.
        if (
            search.by == "started"
            and search.since_ms is not None
            and entry.started_at < search.since_ms
        ):
            break
        if searched.matches(search, entry):
            if len(found) == limit:
                return Page(found, is_all=False)
            found.append((entry.started_at, entry.instance_id))
        if number % TURN_ENTRIES == 0 and loop.time() >= end_s:
            return Page(found, is_all=False, reached=place_of(entry))
    return Page(found, is_all=True)


def _first_place(
    search: Search, before: tuple[int, str] | None
) -> tuple[int, str] | None:
    """Where to begin: what was started too late is passed over without a look."""
    if search.by != "started" or search.until_ms is None:
        return before
    place = (search.until_ms, "")
    return place if before is None else min(place, before)


async def count(searched: Searched, search: Search, by: Groups) -> Counter[str]:
    """How many match, by group; by what they wait for, one may count several times."""
    counts: Counter[str] = Counter()
    entries = searched.store.entries()
    is_all = search == Search()
    # Not `in_turns`: here each microsecond an entry is a second of a million.
    while turn := tuple(islice(entries, TURN_ENTRIES)):
        found = (
            turn
            if is_all
            else [entry for entry in turn if searched.matches(search, entry)]
        )
        if by == "waiting_for":
            for entry in found:
                counts.update(groups_of(by, entry, searched.waited(entry)))
        else:
            counts.update(map(_GROUP_OF[by], found))
        await asyncio.sleep(0)
    return counts


async def in_turns(entries: Iterator[ListEntry]) -> AsyncIterator[ListEntry]:
    """Yield entries, and give others a turn of the event loop now and then."""
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number % TURN_ENTRIES == 0:
            await asyncio.sleep(0)


def groups_of(by: Groups, entry: ListEntry, waited: tuple[str, ...]) -> tuple[str, ...]:
    """The groups in which an instance counts.

    `waited` is what it waits for with regard to what its owner lacks.
    """
    if by == "waiting_for":
        return waited or ("",)
    return (_GROUP_OF[by](entry),)


_GROUP_OF: dict[Groups, Callable[[ListEntry], str]] = {
    "all": lambda _: "",
    "status": lambda entry: entry.status,
    "workflow": lambda entry: entry.workflow,
    "version": lambda entry: group_key(entry.workflow, entry.version),
    "error_type": lambda entry: entry.error_type or "",
    "error": lambda entry: group_key(entry.error_type, entry.error_in),
}

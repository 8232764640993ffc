"""Searches of the instances of one partition, in portions of the event loop.

The store has an entry of each instance, ordered by the time of its start and by that of
its last event, in each status. So the last fifty that match are found without a look at
the others, unless few match. And it counts the instances in each group of those that
differ in nothing but id, times and attributes: a count of what groups tell is made of
these. Looked at one by one are the instances behind a time, those that attributes or an
id choose, and attempts for which code may be missing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.status.list_entry import RUNNING, place_of, updated_place_of
from sayiir_es.core.status.waits import without_code
from sayiir_es.wire.searches import group_key

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )

    from sayiir_es.core.status.list_entry import ListEntry
    from sayiir_es.core.status.search import Search
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
        lacks = self.find_lacks(entry)
        return search.matches(
            entry,
            _waited(entry, lacks),
            is_stranded=any(lack.is_stranding for lack in lacks),
        )

    def find_lacks(self, entry: ListEntry) -> Sequence[Lack]:
        """What the owner lacks for the attempts of an instance that are due."""
        stranding = self.stranding
        if stranding is None or not self.may_lack(entry):
            return ()
        rows = self.store.rows(entry.instance_id)
        return tuple(stranding.find_lacks(rows, self.now_ms))

    def may_lack(self, entry: ListEntry) -> bool:
        """Whether the owner may lack something for an attempt of such an instance."""
        return (
            self.stranding is not None
            and entry.status == RUNNING
            and self.stranding.may_lack(entry.graph_digest)
        )

    def waited(self, entry: ListEntry) -> tuple[str, ...]:
        """What an instance waits for, with regard to what its owner lacks."""
        return _waited(entry, self.find_lacks(entry)) if entry.waited else ()


def _waited(entry: ListEntry, lacks: Iterable[Lack]) -> tuple[str, ...]:
    waited = entry.waited
    for lack in lacks:
        waited = without_code(waited, node_name(lack.path), lack.kind)
    return waited


class Page(NamedTuple):
    """The last that match, with the times by which they are sorted, the last first.

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
    """The last `limit` that match, within a time.

    `before` is the (time, instance id) behind which to begin. By the last event, all
    that are in progress are looked at, however long that takes.
    """
    if search.sorted_by == "started" or not _may_run(search):
        return await _newest_stored(searched, search, limit, before, within_s)
    running = await _newest_running(searched, search, limit + 1, before)
    if search.stored_status == RUNNING:
        return Page(running[:limit], is_all=len(running) <= limit)
    page = await _newest_stored(searched, search, limit, before, within_s)
    reached = page.reached
    if reached is not None:  # behind it there may be others between these
        running = [place for place in running if place >= reached]
    found = sorted((*page.found, *running), reverse=True)
    if len(found) > limit:
        return Page(found[:limit], is_all=False)
    return Page(found, page.is_all, reached)


def _may_run(search: Search) -> bool:
    """Whether instances in progress may match."""
    return search.stored_status in (None, RUNNING)


async def _newest_running(
    searched: Searched, search: Search, limit: int, before: tuple[int, str] | None
) -> list[tuple[int, str]]:
    """The last changed of those in progress that match: each is looked at."""
    last: list[tuple[int, str]] = []
    async for entry in in_turns(searched.store.entries(status=RUNNING)):
        place = updated_place_of(entry)
        if before is not None and place >= before:
            continue
        if not searched.matches(search, entry):
            continue
        if len(last) < limit:
            heapq.heappush(last, place)
        else:
            heapq.heappushpop(last, place)
    return sorted(last, reverse=True)


async def _newest_stored(
    searched: Searched,
    search: Search,
    limit: int,
    before: tuple[int, str] | None,
    within_s: float | None,
) -> Page:
    """As `newest`, of those that the store has in that order."""
    order = search.sorted_by
    place = place_of if order == "started" else updated_place_of
    found: list[tuple[int, str]] = []
    loop = asyncio.get_running_loop()
    end_s = inf if within_s is None else loop.time() + within_s
    entries = searched.store.entries(
        by=order, status=search.stored_status, before=_first_place(search, before)
    )
    since_ms = search.since_ms if search.by == order else None
    number = 0
    async for entry in in_turns(entries):
        number += 1
        # The time of those behind it is none later.
        if since_ms is not None and search.time_of(entry) < since_ms:
            break
        if searched.matches(search, entry):
            if len(found) == limit:
                return Page(found, is_all=False)
            found.append(place(entry))
        if number % TURN_ENTRIES == 0 and loop.time() >= end_s:
            return Page(found, is_all=False, reached=place(entry))
    return Page(found, is_all=True)


def _first_place(
    search: Search, before: tuple[int, str] | None
) -> tuple[int, str] | None:
    """Where to begin: what is too late is passed over without a look."""
    if search.by != search.sorted_by or search.until_ms is None:
        return before
    place = (search.until_ms, "")
    return place if before is None else min(place, before)


# --- counts ---------------------------------------------------------------------------


async def count(searched: Searched, search: Search, by: Groups) -> Counter[str]:
    """How many match, by group; by what they wait for, one may count several times."""
    tally = searched.store.tally() if search.is_counted else None
    if tally is None or search.since_ms is not None:
        return await _count_entries(searched, search, by)
    depends = search.asks_for_code or by == "waiting_for"
    timeless = replace(search, since_ms=None, until_ms=None)
    counts: Counter[str] = Counter()
    may_lack = False
    for group, number in tally.items():
        entry = group.entry()
        if depends and searched.may_lack(entry):
            may_lack = True
        elif timeless.matches(entry):
            for name in groups_of(by, entry, entry.waited):
                counts[name] += number
    if search.until_ms is not None:
        later = replace(timeless, by=search.by, since_ms=search.until_ms)
        # What may lack something is not among those that were counted.
        counts -= await _count_entries(
            searched,
            later,
            by,
            lambda entry: not (depends and searched.may_lack(entry)),
        )
    if may_lack:
        running = search if search.statuses else replace(search, statuses=(RUNNING,))
        counts += await _count_entries(searched, running, by, searched.may_lack)
    return counts


async def _count_entries(
    searched: Searched,
    search: Search,
    by: Groups,
    is_counted: Callable[[ListEntry], bool] = lambda _: True,
) -> Counter[str]:
    """How many match of those that are to be counted: each is looked at."""
    counts: Counter[str] = Counter()
    ordered = replace(search, order=search.by)
    entries = searched.store.entries(
        by=search.by, status=search.stored_status, before=_first_place(ordered, None)
    )
    if search.since_ms is not None:
        since_ms = search.since_ms
        entries = takewhile(lambda one: search.time_of(one) >= since_ms, entries)
    if search.by == "updated" and _may_run(search):
        entries = chain(entries, searched.store.entries(status=RUNNING))
    # Not `in_turns`: here each microsecond an entry is a second of a million.
    while turn := tuple(islice(entries, TURN_ENTRIES)):
        found = [
            entry
            for entry in turn
            if is_counted(entry) and searched.matches(search, entry)
        ]
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

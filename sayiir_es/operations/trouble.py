"""What failed, stands still or is late, in groups of one cause each.

The question of who comes in on Monday: what is stuck, why, and how does all of it go on
again? Each group has a count, a search that finds its instances, and an example that
says why.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.client.search import count_by_group, newest_instances
from sayiir_es.core.status.search import STRANDED, Search
from sayiir_es.wire.searches import group_parts

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from sayiir_es.client.session import Session
    from sayiir_es.core.status.status import Status

TroubleKind: TypeAlias = Literal[
    "failed", "quarantined", "stranded", "unplaced", "untagged", "retrying", "slow",
    "unsignalled", "paused",
]  # fmt: skip
"""In the order in which somebody wants to know of them.

It failed; nobody could decide on it; no worker has its code; no executor
may run its attempt, and none but one may; no worker has its tag; an attempt
failed and is to be tried again; an attempt takes long; a signal does not come; somebody
paused it.
"""

GROUPS_MAX = 30
"""How many groups are told, the largest of each kind first."""

SLOW_MS = 10 * 60_000
"""After so long without an event an attempt is slow."""

UNSIGNALLED_MS = 60 * 60_000
"""After so long without an event a signal is late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleGroup:
    """Instances that stand still for one cause.

    Attributes:
        search: Finds them.
        name: Of the node or signal that it is about; may be empty.
        example: One of them, the last started; None if it has gone meanwhile.
    """

    kind: TroubleKind
    search: Search
    count: int
    name: str = ""
    example: Status | None = None


async def find_trouble(
    session: Session, search: Search, *, now_ms: int
) -> tuple[TroubleGroup, ...]:
    """All groups among what a search finds, whatever status it names.

    `now_ms` is the time.
    """
    any_status = replace(search, statuses=())
    # Each count is a look at all instances, of which many systems have a million. So
    # causes are looked for only where somebody is in such a status; and one after
    # another, so that owners answer others meanwhile.
    counts = await count_by_group(session, any_status, "status")
    groups: list[TroubleGroup] = []
    if counts["failed"]:
        groups += await _by_error(session, any_status, "failed")
    if counts["quarantined"]:
        groups += await _by_error(session, any_status, "quarantined")
    if counts["in_progress"]:
        groups += await _by_version(session, any_status)
        groups += await _running(session, any_status, now_ms)
    if counts["awaiting_signal"]:
        groups += await _unsignalled(session, any_status, now_ms)
    groups += _paused(any_status, counts["paused"])
    groups = groups[:GROUPS_MAX]
    return tuple(
        await asyncio.gather(*(_with_example(session, group) for group in groups))
    )


async def _by_error(
    session: Session, search: Search, status: Literal["failed", "quarantined"]
) -> list[TroubleGroup]:
    search = replace(search, statuses=(status,))
    counts = await count_by_group(session, search, "error")
    groups: list[TroubleGroup] = []
    for key, count in counts.most_common():
        error_type, error_in = group_parts(key)
        found = replace(
            search,
            error_type=error_type or search.error_type,
            error_in=error_in or search.error_in,
        )
        groups.append(
            TroubleGroup(kind=status, search=found, count=count, name=error_in or "")
        )
    return groups


async def _by_version(session: Session, search: Search) -> list[TroubleGroup]:
    search = replace(search, statuses=(STRANDED,), waiting_for="code")
    counts = await count_by_group(session, search, "version")
    groups: list[TroubleGroup] = []
    for key, count in counts.most_common():
        workflow, version = group_parts(key)
        found = replace(search, workflow=workflow, version=version)
        groups.append(
            TroubleGroup(
                kind="stranded", search=found, count=count, name=workflow or ""
            )
        )
    return groups


async def _running(session: Session, search: Search, now_ms: int) -> list[TroubleGroup]:
    running = replace(search, statuses=("in_progress",))
    slow = _silent(running, now_ms - SLOW_MS)
    by_now = await count_by_group(session, running, "waiting_for")
    long_ago = await count_by_group(session, slow, "waiting_for")
    return [
        *_of_kind(running, by_now, "executor", "unplaced"),
        *_of_kind(running, by_now, "tag", "untagged"),
        *_of_kind(running, by_now, "retry", "retrying"),
        *_of_kind(slow, long_ago, "task", "slow"),
    ]


async def _unsignalled(
    session: Session, search: Search, now_ms: int
) -> list[TroubleGroup]:
    waiting = replace(search, statuses=("awaiting_signal",))
    late = _silent(waiting, now_ms - UNSIGNALLED_MS)
    counts = await count_by_group(session, late, "waiting_for")
    return [*_of_kind(late, counts, "signal", "unsignalled")]


def _silent(search: Search, until_ms: int) -> Search:
    """Those of a search that had no event since a time; its own times hold no more."""
    return replace(search, since_ms=None, until_ms=until_ms, by="updated")


def _of_kind(
    search: Search, counts: Counter[str], waited: str, kind: TroubleKind
) -> Iterator[TroubleGroup]:
    for waiting_for, count in counts.most_common():
        what, _, name = waiting_for.partition(":")
        if what == waited:
            found = replace(search, waiting_for=waiting_for)
            yield TroubleGroup(kind=kind, search=found, count=count, name=name)


def _paused(search: Search, count: int) -> list[TroubleGroup]:
    search = replace(search, statuses=("paused",))
    return [TroubleGroup(kind="paused", search=search, count=count)] if count else []


async def _with_example(session: Session, group: TroubleGroup) -> TroubleGroup:
    # In that order it is found without a look at all.
    by_start = replace(group.search, order="started")
    found = await newest_instances(session, by_start, 1)
    return replace(group, example=found[0][1]) if found else group

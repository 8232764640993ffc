"""Finding instances by what they are, in a projection of every partition.

Theory of operation. A search reads the rows of every instance, of which there may be
many, so it looks at the two small ones first: they tell workflow, times and attributes.
Only what is to be shown is described in words. The stores are those of the session's
projection, brought to the end of each partition at the call: whoever was told something
finds it. A long search lets others on the loop have their turn between some instances.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, get_args

from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.rows import get_header, get_run
from sayiir_es.core.status.status import StatusName, status_name
from sayiir_es.engine.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sayiir_es.client.session import Session
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.store.port import SnapshotStore

LISTED = 50
"""How many instances a list shows when nobody says."""

TURN_INSTANCES = 256
"""So many are looked at before others on the loop have their turn: some ms."""

STATUSES: tuple[StatusName, ...] = get_args(StatusName)
TimeName: TypeAlias = Literal["started", "updated"]
TIMES: tuple[TimeName, ...] = get_args(TimeName)
When: TypeAlias = datetime | timedelta | str


class Criteria(TypedDict, total=False):
    """What may be asked of instances; what is left out is not asked.

    Attributes:
        status: Such as `failed`.
        workflow: Its name.
        attributes: Names and values that were given at the start; all of them.
        since: From that time on: a `datetime` with a time zone, ISO-8601 text (UTC
            without a zone), or how long ago, as a `timedelta` or "10m".
        until: Before that time.
        by: Which time: `started` (when left out), or `updated`, of the last event.
    """

    status: StatusName | str | None
    workflow: str | None
    attributes: Mapping[str, str] | None
    since: When | None
    until: When | None
    by: TimeName | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What an instance must be; times in epoch milliseconds, `until_ms` excluded."""

    status: str | None = None
    workflow: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    since_ms: int | None = None
    until_ms: int | None = None
    by: TimeName = "started"

    def found_at(self, rows: Rows) -> int | None:
        """The time by which an instance is found; None if it is not meant."""
        header, started = get_header(rows), get_run(rows)
        if header is None or started is None:
            return None
        at_ms = started.started_at if self.by == "started" else header.at
        meant = (
            self.workflow in (None, started.workflow)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and self.attributes.items() <= started.attributes.items()
            and (self.status is None or self.status == status_name(rows))
        )
        return at_ms if meant else None


def search_of(criteria: Criteria, *, now_ms: int) -> Search:
    """The search for what somebody asked for.

    Raises:
        ValueError: if a status, time or kind of time is none.
    """
    status, by = criteria.get("status"), criteria.get("by", "started")
    if status is not None and status not in STATUSES:
        raise ValueError(f"expected a status of {', '.join(STATUSES)}, but {status!r}")
    if by not in ("started", "updated"):
        raise ValueError(f"expected by of {', '.join(TIMES)}, but {by!r}")
    since, until = criteria.get("since"), criteria.get("until")
    return Search(
        status=status,
        workflow=criteria.get("workflow"),
        attributes=criteria.get("attributes") or {},
        since_ms=None if since is None else moment_ms(since, now_ms=now_ms),
        until_ms=None if until is None else moment_ms(until, now_ms=now_ms),
        by="updated" if by == "updated" else "started",
    )


def moment_ms(when: When, *, now_ms: int) -> int:
    """A time in epoch milliseconds, from what people give for one.

    Raises:
        ValueError: if it is none, or a `datetime` without a time zone.
    """
    if isinstance(when, timedelta):
        return now_ms - duration_ms(when)
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError(f"expected a datetime with a time zone, but {when!r}")
        return round(when.timestamp() * 1000)
    try:
        return now_ms - duration_ms(when.removeprefix("-"))
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(when)
    except ValueError as error:
        raise ValueError(
            f"expected a time such as 10m (ago) or 2030-01-31T12:00:00Z, but {when!r}"
        ) from error
    return round(read.replace(tzinfo=read.tzinfo or UTC).timestamp() * 1000)


async def listed(
    session: Session, criteria: Criteria, limit: int
) -> tuple[WorkflowStatus, ...]:
    """What a client's `list` answers.

    Raises:
        ValueError: as `search_of`.
    """
    wanted = search_of(criteria, now_ms=SystemClock().now_ms())
    return tuple(map(workflow_status, await newest(session, wanted, limit)))


async def count(session: Session, criteria: Criteria) -> int:
    """What a client's `count` answers.

    Raises:
        ValueError: as `search_of`.
    """
    wanted = search_of(criteria, now_ms=SystemClock().now_ms())
    return (await counted(session, wanted, lambda _: "")).total()


async def newest(session: Session, wanted: Search, limit: int) -> list[Status]:
    """The last `limit` instances that are meant, by the time of the search."""
    kept: list[tuple[int, str, Status]] = []
    async for store, instance_id, rows in _instances(session):
        at_ms = wanted.found_at(rows)
        if at_ms is None:
            continue
        if len(kept) >= limit and (at_ms, instance_id) <= kept[0][:2]:
            continue
        found = session.described(store, instance_id)
        if found is None:
            continue
        put = heapq.heappush if len(kept) < limit else heapq.heappushpop
        put(kept, (at_ms, instance_id, found))
    return [found for _, _, found in sorted(kept, reverse=True)]


async def counted(
    session: Session, wanted: Search, group: Callable[[Rows], str]
) -> Counter[str]:
    """How many instances are meant, by what `group` says of each."""
    found: Counter[str] = Counter()
    async for _, _, rows in _instances(session):
        if wanted.found_at(rows) is not None:
            found[group(rows)] += 1
    return found


async def _instances(
    session: Session,
) -> AsyncIterator[tuple[SnapshotStore, str, Rows]]:
    """Every instance of every partition."""
    async for store in session.stores():
        # Ids first: the store may change while others have their turn.
        for number, instance_id in enumerate(list(store.instances()), start=1):
            yield store, instance_id, store.rows(instance_id)
            if number % TURN_INSTANCES == 0:
                await asyncio.sleep(0)

"""Searches for instances by status, workflow, time and attributes.

Theory of operation. A search reads rows of every instance, of which there may be many,
so it reads the two small ones first: the header and the run hold workflow, times and
attributes. The status is derived only for the instances that are returned. The stores
are those of the session's projection, folded to the end of each partition at the call:
a client finds what it has done. A long search lets other tasks of the loop run now and
then.
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

LIST_LIMIT = 50
"""How many instances a list has by default."""

TURN_INSTANCES = 256
"""Instances read before other tasks of the loop may run: some milliseconds."""

STATUSES: tuple[StatusName, ...] = get_args(StatusName)
TimeName: TypeAlias = Literal["started", "updated"]
TIMES: tuple[TimeName, ...] = get_args(TimeName)
When: TypeAlias = datetime | timedelta | str


class Criteria(TypedDict, total=False):
    """The criteria of a search; one that is left out excludes nothing.

    Attributes:
        status: Such as `failed`.
        workflow: Its name.
        attributes: Names and values that were given at the start; all of them.
        since: From that time on: a `datetime` with a time zone, ISO-8601 text (UTC
            without a zone), or how long ago, as a `timedelta` or "10m".
        until: Before that time.
        by: Which time: `started` (the default), or `updated`, of the last event.
    """

    status: StatusName | str | None
    workflow: str | None
    attributes: Mapping[str, str] | None
    since: When | None
    until: When | None
    by: TimeName | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What an instance must match; times in epoch milliseconds, `until_ms` excluded."""

    status: str | None = None
    workflow: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    since_ms: int | None = None
    until_ms: int | None = None
    by: TimeName = "started"

    def found_at(self, rows: Rows) -> int | None:
        """The time by which an instance is sorted; None if it does not match."""
        header, run = get_header(rows), get_run(rows)
        if header is None or run is None:
            return None
        at_ms = run.started_at if self.by == "started" else header.at
        matches = (
            self.workflow in (None, run.workflow)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and self.attributes.items() <= run.attributes.items()
            and (self.status is None or self.status == status_name(rows))
        )
        return at_ms if matches else None


def search_of(criteria: Criteria, *, now_ms: int) -> Search:
    """The search with these criteria.

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
    """A time in epoch milliseconds, from the forms that `Criteria` takes.

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
        moment = datetime.fromisoformat(when)
    except ValueError as error:
        raise ValueError(
            f"expected a time such as 10m (ago) or 2030-01-31T12:00:00Z, but {when!r}"
        ) from error
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


async def list_instances(
    session: Session, criteria: Criteria, limit: int
) -> tuple[WorkflowStatus, ...]:
    """The last `limit` instances that match, as clients return them.

    Raises:
        ValueError: as `search_of`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    return tuple(map(workflow_status, await newest_instances(session, search, limit)))


async def count_instances(session: Session, criteria: Criteria) -> int:
    """How many instances match.

    Raises:
        ValueError: as `search_of`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    return (await count_by_group(session, search, lambda _: "")).total()


async def newest_instances(
    session: Session, search: Search, limit: int
) -> list[Status]:
    """The last `limit` instances that match, by the time of the search."""
    from sayiir_es.client.projection import read_again  # noqa: PLC0415 (slow)

    return await read_again(lambda: _newest_instances(session, search, limit))


async def _newest_instances(
    session: Session, search: Search, limit: int
) -> list[Status]:
    last: list[tuple[int, str, Status]] = []
    async for store, instance_id, rows in _instances(session):
        at_ms = search.found_at(rows)
        if at_ms is None:
            continue
        if len(last) >= limit and (at_ms, instance_id) <= last[0][:2]:
            continue
        status = session.describe(store, instance_id)
        if status is None:
            continue
        put = heapq.heappush if len(last) < limit else heapq.heappushpop
        put(last, (at_ms, instance_id, status))
    return [status for _, _, status in sorted(last, reverse=True)]


async def count_by_group(
    session: Session, search: Search, group: Callable[[Rows], str]
) -> Counter[str]:
    """How many instances match, by the group of each."""
    from sayiir_es.client.projection import read_again  # noqa: PLC0415 (slow)

    return await read_again(lambda: _count_by_group(session, search, group))


async def _count_by_group(
    session: Session, search: Search, group: Callable[[Rows], str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    async for _, _, rows in _instances(session):
        if search.found_at(rows) is not None:
            counts[group(rows)] += 1
    return counts


async def _instances(
    session: Session,
) -> AsyncIterator[tuple[SnapshotStore, str, Rows]]:
    """Every instance of every partition."""
    async for store in session.read_stores():
        # Ids first: the store may change while other tasks run.
        for number, instance_id in enumerate(list(store.instances()), start=1):
            yield store, instance_id, store.rows(instance_id)
            if number % TURN_INSTANCES == 0:
                await asyncio.sleep(0)

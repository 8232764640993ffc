"""Searches for instances by status, workflow, time, error and attributes.

Theory of operation. Every partition is asked for its own page, all at once, and the
pages are merged by time. So a page costs one request and one reply a partition, and
what a client holds is what it returns. A partition that nobody answers for is folded.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar

from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.status.search import (
    STATUSES,
    TIMES,
    Search,
    TimeName,
    check_waiting_for,
)
from sayiir_es.core.status.status import listed
from sayiir_es.engine.clock import SystemClock
from sayiir_es.wire.requests import (
    Counted,
    CountInstances,
    Listed,
    ListInstances,
)
from sayiir_es.wire.searches import group_parts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from sayiir_es.client.session import Session
    from sayiir_es.core.status.status import Status, StatusFilter
    from sayiir_es.engine.requests.searching import Searched
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.searches import Groups

T = TypeVar("T")

LIST_LIMIT = 50
"""How many instances a list has by default."""

NAMED_GROUPS: tuple[Groups, ...] = (
    *("status", "workflow", "error_type", "waiting_for"),
)
"""By what instances are counted whose groups have a name for a key."""

ALL_PAGE = 200
"""How many instances a page has when all are read: few milliseconds of the owner."""

When: TypeAlias = datetime | timedelta | str


class Criteria(TypedDict, total=False):
    """The criteria of a search; one that is left out excludes nothing.

    Attributes:
        status: Such as `failed`; `stranded` finds those in progress that wait for code
            which the worker that owns them lacks.
        workflow: Its name.
        attributes: Names and values that were given at the start; all of them.
        since: From that time on: a `datetime` with a time zone, ISO-8601 text (UTC
            without a zone), or how long ago, as a `timedelta` or "10m".
        until: Before that time.
        by: Which time: `started` (the default), or `updated`, of the last event.
        error_type: The type of the error by which it failed, such as `TimeoutError`.
        error_in: The name of the node that failed, such as `charge`.
        version: That of its workflow.
        waiting_for: What it waits for: `task`, `retry` (an attempt behind a failed
            one), `signal`, `delay`, `unpause`, `manual_retry` (it is quarantined),
            `code`, `tag` or `executor` (no worker that owns it, or no executor, has
            that); with a name, only that: `signal:approval`, `retry:charge`.
        id_prefix: How its id begins.
        id_contains: What stands anywhere in its id.
        parent: The id of the instance that started it as its child.
    """

    status: StatusFilter | str | None
    workflow: str | None
    attributes: Mapping[str, str] | None
    since: When | None
    until: When | None
    by: TimeName | str
    error_type: str | None
    error_in: str | None
    version: str | None
    waiting_for: str | None
    id_prefix: str | None
    id_contains: str | None
    parent: str | None


def search_of(criteria: Criteria, *, now_ms: int) -> Search:
    """The search with these criteria.

    Raises:
        ValueError: if a status, time, kind of time or of wait is none.
    """
    status, by = criteria.get("status"), criteria.get("by", "started")
    if status is not None and status not in STATUSES:
        raise ValueError(f"expected a status of {', '.join(STATUSES)}, but {status!r}")
    if by not in ("started", "updated"):
        raise ValueError(f"expected by of {', '.join(TIMES)}, but {by!r}")
    since, until = criteria.get("since"), criteria.get("until")
    waiting_for = criteria.get("waiting_for")
    return Search(
        statuses=() if status is None else (status,),
        workflow=criteria.get("workflow"),
        attributes=criteria.get("attributes") or {},
        since_ms=None if since is None else moment_ms(since, now_ms=now_ms),
        until_ms=None if until is None else moment_ms(until, now_ms=now_ms),
        by="updated" if by == "updated" else "started",
        error_type=criteria.get("error_type"),
        error_in=criteria.get("error_in"),
        version=criteria.get("version"),
        waiting_for=None if waiting_for is None else check_waiting_for(waiting_for),
        id_prefix=criteria.get("id_prefix"),
        id_contains=criteria.get("id_contains"),
        parent=criteria.get("parent"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePage:
    """A page of a list: its instances, and the token of the next page, if any.

    Attributes:
        instances: The last one first.
        next_token: What `list_page` takes for the next page; None at the end.
        is_partial: Whether it ended because time was up: the next page goes on.
    """

    instances: tuple[WorkflowStatus, ...]
    next_token: str | None
    is_partial: bool = False


async def list_page(
    session: Session, criteria: Criteria, limit: int, token: str | None
) -> InstancePage:
    """The next `limit` instances that match, the last first, behind a page's token.

    Raises:
        ValueError: as `search_of`, or if the token is none.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    found = await newest_instances(session, search, limit + 1, read_page_token(token))
    page = found[:limit]
    statuses = tuple(workflow_status(status, session.payloads) for _, status in page)
    if len(found) <= limit:
        return InstancePage(instances=statuses, next_token=None)
    at_ms, last = page[-1]
    return InstancePage(instances=statuses, next_token=f"{at_ms}.{last.instance_id}")


async def list_within(
    session: Session,
    criteria: Criteria,
    limit: int,
    token: str | None,
    within_ms: int,
) -> InstancePage:
    """As `list_page`, but it ends early where few match: when time is up.

    Raises:
        ValueError: as `list_page`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    found, place = await newest_within(
        session, search, limit, read_page_token(token), within_ms
    )
    return InstancePage(
        instances=tuple(
            workflow_status(status, session.payloads) for _, status in found
        ),
        next_token=None if place is None else f"{place[0]}.{place[1]}",
        is_partial=place is not None and len(found) < limit,
    )


async def newest_within(
    session: Session,
    search: Search,
    limit: int,
    before: tuple[int, str] | None,
    within_ms: int,
) -> tuple[list[tuple[int, Status]], tuple[int, str] | None]:
    """The last `limit` that match, as far as owners find them within a time.

    And the (time, instance id) behind which there may be more; None: there are none.
    """
    await session.open()
    pages = [
        _PartitionPages(session, number, search, limit + 1, before)
        for number in range(session.log.partitions)
    ]
    await asyncio.gather(*(page.fetch(within_ms) for page in pages))
    ends = [page.end for page in pages if page.end is not None and not page.is_last]
    end = max(ends, default=None)
    # Behind that place a partition may have more that were not looked at.
    found = [
        (at_ms, status)
        for page in pages
        for at_ms, status in page.statuses
        if end is None or (at_ms, status.instance_id) >= end
    ]
    found.sort(key=lambda one: (one[0], one[1].instance_id), reverse=True)
    if len(found) <= limit:
        return found, end
    at_ms, last = found[limit - 1]
    return found[:limit], (at_ms, last.instance_id)


def read_page_token(token: str | None) -> tuple[int, str] | None:
    """The time and the instance id behind which the page of a token begins.

    Raises:
        ValueError: if it is no token.
    """
    if token is None:
        return None
    at_ms, separator, instance_id = token.partition(".")
    if not separator or re.fullmatch("[0-9]{1,15}", at_ms) is None:
        raise ValueError(f"expected the token of a page, but {token!r:.200}")
    return int(at_ms), instance_id


async def list_instances(
    session: Session, criteria: Criteria, limit: int
) -> tuple[WorkflowStatus, ...]:
    """The last `limit` instances that match, as clients return them.

    Raises:
        ValueError: as `search_of`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    found = await newest_instances(session, search, limit)
    return tuple(workflow_status(status, session.payloads) for _, status in found)


async def count_instances(session: Session, criteria: Criteria) -> int:
    """How many instances match.

    Raises:
        ValueError: as `search_of`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    return (await count_by_group(session, search, "all")).total()


async def count_groups(
    session: Session, criteria: Criteria, group: str
) -> dict[str, int]:
    """How many instances match, by group, the largest first.

    Raises:
        ValueError: as `search_of`, or if `group` is none.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    for by in NAMED_GROUPS:
        if by == group:
            counts = await count_by_group(session, search, by)
            return dict(counts.most_common())
    raise ValueError(
        f"expected a group of {', '.join(NAMED_GROUPS)}, but {group!r:.100}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Instances that failed, or stand still, by one kind of error at one node.

    Attributes:
        error_type: Such as `TimeoutError`; with it `list(error_type=…)` finds them.
        error_in: The name of the node, such as `charge`; None where it was none.
        count: How many.
    """

    error_type: str
    error_in: str | None
    count: int


async def count_errors(session: Session, criteria: Criteria) -> tuple[ErrorGroup, ...]:
    """How many instances failed by what error in which node, the most first.

    Raises:
        ValueError: as `search_of`.
    """
    search = search_of(criteria, now_ms=SystemClock().now_ms())
    counts = await count_by_group(session, search, "error")
    return error_groups(counts)


def error_groups(counts: Counter[str]) -> tuple[ErrorGroup, ...]:
    """The errors of counts by `error`, the most first; without what has none."""
    groups: list[ErrorGroup] = []
    for key, count in counts.most_common():
        error_type, error_in = group_parts(key)
        if error_type is not None:
            groups.append(
                ErrorGroup(error_type=error_type, error_in=error_in, count=count)
            )
    return tuple(groups)


async def newest_instances(
    session: Session,
    search: Search,
    limit: int,
    before: tuple[int, str] | None = None,
) -> list[tuple[int, Status]]:
    """The last `limit` that match, each with the time of the search, the last first.

    `before` is the (time, instance id) behind which to begin.
    """
    await session.open()
    pages = [
        _PartitionPages(session, partition, search, limit, before)
        for partition in range(session.log.partitions)
    ]
    await asyncio.gather(*(page.fetch() for page in pages))
    merged: list[tuple[int, Status]] = []
    while len(merged) < limit:
        heads = [page for page in pages if page.statuses]
        if not heads:
            break
        newest_page = max(heads, key=_PartitionPages.head)
        merged.append(newest_page.statuses.popleft())
        if not newest_page.statuses and not newest_page.is_last:
            await newest_page.fetch()
    return merged


async def iter_instances(
    session: Session, partition: int, search: Search
) -> AsyncGenerator[Status]:
    """Yield every instance of a partition that matches, the last started first.

    One that changes meanwhile is found as it was or as it is; none comes twice unless
    it is started anew.
    """
    pages = _PartitionPages(
        session, partition, replace(search, order="started"), ALL_PAGE, None
    )
    while not pages.is_last:
        await pages.fetch()
        while pages.statuses:
            yield pages.statuses.popleft()[1]


class _PartitionPages:
    """The matches of one partition, fetched page by page as they are needed."""

    def __init__(
        self,
        session: Session,
        partition: int,
        search: Search,
        limit: int,
        before: tuple[int, str] | None,
    ) -> None:
        self.statuses: deque[tuple[int, Status]] = deque()
        self.is_last = False
        self.end: tuple[int, str] | None = None
        """Up to which (time, instance id) all that match are here."""
        self._session = session
        self._partition = partition
        self._search = search
        self._limit = limit
        self._before = before

    def head(self) -> tuple[int, str]:
        """What the next one is sorted by."""
        at_ms, status = self.statuses[0]
        return at_ms, status.instance_id

    async def fetch(self, within_ms: int | None = None) -> None:
        """Fetch the next page; one that is not full where time was up."""
        reached: tuple[int, str] | None = None
        answer = await self._session.ask(
            self._partition,
            lambda at_least: ListInstances(
                search=self._search,
                limit=self._limit,
                before=self._before,
                within_ms=within_ms,
                at_least=at_least,
            ),
        )
        if isinstance(answer, Listed):
            reached = answer.reached
            self.statuses.extend(answer.statuses)
            is_over = not answer.statuses and reached is None
            self.is_last = answer.is_last or is_over
        else:
            await _read_again(self._fold)
        if self.statuses:
            at_ms, status = self.statuses[-1]
            self._before = (at_ms, status.instance_id)
        self.end = reached or self._before

    async def _fold(self) -> None:
        """Find them in the client's own fold: nobody answered."""
        from sayiir_es.engine.requests.searching import newest  # noqa: PLC0415 (slow)

        view = self._session.view
        await self._session.definitions.refresh()
        store = await view.read_store(self._partition)
        searched = _searched(self._session, store)
        found, self.is_last, _ = await newest(
            searched, self._search, self._limit, self._before
        )
        self.statuses.clear()
        for at_ms, instance_id in found:
            status = view.describe(store, instance_id)
            if status is not None:
                self.statuses.append((at_ms, listed(status)))


async def count_by_group(session: Session, search: Search, by: Groups) -> Counter[str]:
    """How many instances match, by the group of each."""
    await session.open()
    counts = await asyncio.gather(
        *(
            _count(session, partition, search, by)
            for partition in range(session.log.partitions)
        )
    )
    return sum(counts, Counter[str]())


async def count_without_code(session: Session, partition: int) -> Mapping[str, int]:
    """How many instances of a partition wait for code, by workflow: its owner says."""
    search = Search(statuses=("in_progress",), waiting_for="code")
    answer = await session.ask(
        partition,
        lambda at_least: CountInstances(
            search=search, by="workflow", at_least=at_least
        ),
    )
    return answer.counts if isinstance(answer, Counted) else {}


async def _count(
    session: Session, partition: int, search: Search, by: Groups
) -> Counter[str]:
    answer = await session.ask(
        partition,
        lambda at_least: CountInstances(search=search, by=by, at_least=at_least),
    )
    if isinstance(answer, Counted):
        return Counter(answer.counts)

    async def fold() -> Counter[str]:
        from sayiir_es.engine.requests.searching import count  # noqa: PLC0415 (slow)

        store = await session.view.read_store(partition)
        if search.asks_for_code or by == "waiting_for":
            await session.definitions.refresh()
        return await count(_searched(session, store), search, by)

    return await _read_again(fold)


def _searched(session: Session, store: SnapshotStore) -> Searched:
    """The instances of a store that nobody serves now, by what its owner announced."""
    from sayiir_es.engine.requests.searching import (  # noqa: PLC0415 (slow)
        Searched,
    )

    code = session.view.get_code(store.position.owner)
    return Searched(
        store=store,
        stranding=None if code is None else session.registry.stranding(code),
        now_ms=SystemClock().now_ms(),
    )


async def _read_again(read: Callable[[], Awaitable[T]]) -> T:
    from sayiir_es.client.projection import read_again  # noqa: PLC0415 (slow)

    return await read_again(read)

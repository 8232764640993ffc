"""`/`: the instances that match the address, how many there are, and what is stuck."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from sayiir_es.client.search import count_by_group, newest_within, read_page_token
from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.search import STATUSES, STRANDED, Search
from sayiir_es.core.status.status import ENDED
from sayiir_es.core.status.waits import KINDS
from sayiir_es.engine.clock import SystemClock
from sayiir_es.operations.published_workflows import workers_with_code
from sayiir_es.operations.trouble import TroubleGroup, find_trouble
from sayiir_es.operations.unplaced_tasks import tags_of_task
from sayiir_es.web.pages.instance_address import instance_address, quoted
from sayiir_es.web.pages.instance_filter import InstanceFilter
from sayiir_es.web.pages.templates import page
from sayiir_es.web.shared_answers import while_asked
from sayiir_es.web.site import Site, SiteOfRequest

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sayiir_es.core.status.status import Status

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 50

WITHIN_MS = 75
"""For how long an owner looks for the rows of a page; the next one looks on. All of the
page is to take 200 ms at most."""

FURTHER_MS = 2_000
"""The same for pages behind the first: whoever asks for them has seen that it takes
long to find the few that match among many."""

NOTE_MAX = 300
"""How many characters of an error or a wait a row shows."""

SOON_S = 0.05
"""How long a page that is quick waits for counts; a browser asks for those that take
longer."""

AT_ONCE_S = 0.01
"""How long a page waits for counts whose rows took longer than that: those are shown
that others have asked for."""

ASKED_AGAIN_S = 5.0
"""After so long nobody looks at a page that has not asked for its counts."""

BAD_REQUEST = 400

NOBODY_LOOKS = 204
"""Of a response that nobody reads."""

_UNKNOWN: dict[str, object] = {"counts": None, "groups": None}
"""Of a page that is shown before it is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the list; `mark` is unique in the page and stays with the instance."""

    status: Status
    mark: str
    address: str
    attempts: int
    note: str


@router.get("/")
async def show_instances(request: Request, site: SiteOfRequest) -> Response:
    """The page; asked by a script, its table alone."""
    began_s = time.monotonic()
    is_part = request.headers.get("hx-request") == "true"
    template = "instances/rows.html" if is_part else "instances/page.html"
    token = request.query_params.get("token", "")
    try:
        shown = InstanceFilter.read(request.query_params)
        rows, next_token = await list_rows(site, shown.search(), token)
        problem = ""
    except UsageError as error:
        shown, rows, next_token = _typed(request), [], None
        problem = site.masking.text(str(error))
    return page(
        request,
        template,
        status_code=BAD_REQUEST if problem and not is_part else 200,
        shown=shown,
        rows=rows,
        token=token,
        next_token=next_token,
        # Time was up before there were as many as a page has.
        looked_to=int(next_token.partition(".")[0])
        if next_token and len(rows) < PAGE_SIZE
        else None,
        problem=problem,
        statuses=STATUSES,
        waits=KINDS,
        workflows=() if is_part else await workflow_names(site),
        has_any=bool(rows) or not shown.is_empty or bool(token),
        **(_UNKNOWN if is_part or problem else await _first_look(site, shown, began_s)),
    )


async def _first_look(
    site: Site, shown: InstanceFilter, began_s: float
) -> dict[str, object]:
    """Counts and trouble, where they are found at once; else the page asks again."""
    soon_s = max(AT_ONCE_S, SOON_S - (time.monotonic() - began_s))
    counts, trouble = await asyncio.gather(
        _within(soon_s, _counts_view(site, shown)),
        _within(soon_s, _trouble_view(site, shown)),
    )
    return {**_UNKNOWN, **counts, **trouble}


async def _within(
    limit_s: float, asked: Coroutine[object, object, dict[str, object]]
) -> dict[str, object]:
    """What is known by then; nothing where it takes longer.

    It goes on for a moment, in which the browser comes to ask for it.
    """
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait((task,), timeout=limit_s)
    task.add_done_callback(_forget_error)
    if not done:
        asyncio.get_running_loop().call_later(ASKED_AGAIN_S, task.cancel)
    return task.result() if done else {}


def _forget_error(task: asyncio.Future[dict[str, object]]) -> None:
    """The page asks again, and is told then."""
    if not task.cancelled():
        task.exception()


def _typed(request: Request) -> InstanceFilter:
    """What was typed, wrong as it is, so that it can be mended."""
    parameters = {name: one[:200] for name, one in request.query_params.items()}
    return InstanceFilter.read(parameters)


async def list_rows(
    site: Site, search: Search, token: str
) -> tuple[list[Row], str | None]:
    """A page of the list, and the token of the next one.

    It has fewer rows where those that match are few and far between: time was up.

    Raises:
        UsageError: if the token is none.
    """
    try:
        before = read_page_token(token or None)
    except ValueError as error:
        raise UsageError(str(error)) from error
    within_ms = WITHIN_MS if before is None else FURTHER_MS
    found, place = await newest_within(
        site.session, search, PAGE_SIZE, before, within_ms
    )
    rows = [_row(status, site) for _, status in found]
    return rows, None if place is None else f"{place[0]}.{place[1]}"


def _row(status: Status, site: Site) -> Row:
    return Row(
        status=status,
        mark=quoted(status.instance_id),
        address=instance_address(status.instance_id),
        attempts=max(status.attempts.values(), default=0),
        note=_why(status, site),
    )


def _why(status: Status, site: Site) -> str:
    """Why it stands where it stands: the error, what it waits for, or who ended it."""
    mask = site.masking.text
    if status.error is not None:
        return mask(status.error)[:NOTE_MAX]
    if status.status == "paused" and status.reason:
        return mask(f"{status.waiting_for}; paused for: {status.reason}")[:NOTE_MAX]
    if status.status not in ENDED:
        return mask(status.waiting_for)[:NOTE_MAX]
    return mask(status.reason or "")[:NOTE_MAX]


def _can_migrate(site: Site, workflow: str) -> bool:
    """Whether a worker has the code of what a start of that name takes."""
    graph = site.session.registry.by_name(workflow, None)
    return graph is not None and bool(workers_with_code(site.session, graph))


async def workflow_names(site: Site) -> tuple[str, ...]:
    """The names of all published workflows."""
    session = site.session
    await session.open()
    await session.definitions.refresh()
    return tuple(sorted({graph.name for graph in session.registry.graphs()}))


# --- counts and trouble ---------------------------------------------------------------


@router.get("/parts/counts")
async def show_counts(request: Request, site: SiteOfRequest) -> Response:
    """How many there are in each status, each a link that filters by it."""
    shown = InstanceFilter.read(request.query_params)
    values = await while_asked(request, _counts_view(site, shown))
    if values is None:
        return Response(status_code=NOBODY_LOOKS)
    return page(
        request, "instances/counts.html", status_code=200, shown=shown, **values
    )


async def _counts_view(site: Site, shown: InstanceFilter) -> dict[str, object]:
    counts = await counts_by_status(site, shown.having(status=""))
    return {
        "total": sum(count for name, count in counts.items() if name != STRANDED),
        "counts": [(name, counts[name]) for name in STATUSES if counts[name]],
    }


async def counts_by_status(site: Site, shown: InstanceFilter) -> Counter[str]:
    """How many match in each status; those that are stranded are in progress, too."""
    search = shown.search()

    async def count() -> Counter[str]:
        counts = await count_by_group(site.session, search, "status")
        if counts["in_progress"]:
            stranded = shown.having(status=STRANDED).search()
            found = await count_by_group(site.session, stranded, "all")
            counts[STRANDED] = found.total()
        return counts

    return await site.answers.get(("counts", shown.query()), count)


@router.get("/parts/trouble")
async def show_trouble(request: Request, site: SiteOfRequest) -> Response:
    """What failed or is stuck, by cause, with what lets all of it go on."""
    shown = InstanceFilter.read(request.query_params)
    values = await while_asked(request, _trouble_view(site, shown))
    if values is None:
        return Response(status_code=NOBODY_LOOKS)
    return page(request, "instances/trouble.html", status_code=200, **values)


async def _trouble_view(site: Site, shown: InstanceFilter) -> dict[str, object]:
    shown = shown.having(status="", error_type="", error_in="", waiting_for="")
    now_ms = SystemClock().now_ms()
    search = shown.search()
    groups = await site.answers.get(
        ("trouble", shown.query()),
        lambda: find_trouble(site.session, search, now_ms=now_ms),
    )
    return {
        "groups": [_group_view(group, shown, site) for group in groups],
        "retriable": sum(
            group.count for group in groups if group.kind in ("failed", "quarantined")
        ),
        "retry_query": shown.query(),
    }


def _group_view(
    group: TroubleGroup, shown: InstanceFilter, site: Site
) -> dict[str, object]:
    search, example = group.search, group.example
    found = shown.having(
        status=search.statuses[0] if search.statuses else "",
        workflow=search.workflow or "",
        version=search.version or "",
        error_type=search.error_type or "",
        error_in=search.error_in or "",
        waiting_for=search.waiting_for or "",
        by=search.by,
        until=(
            instant(search.until_ms)
            if search.until_ms is not None and search.by == "updated"
            else shown.until
        ),
    )
    why = "" if example is None else _why(example, site)
    workflow = search.workflow or (example.workflow if example else "")
    tags: tuple[str, ...] = ()
    if group.kind in ("unplaced", "untagged"):
        tags = tags_of_task(site.session, workflow, group.name)
    return {
        "kind": group.kind,
        "count": group.count,
        "name": group.name,
        "error_type": search.error_type or "",
        "version": search.version or "",
        "query": found.query(),
        "address": found.address(),
        "why": why,
        "can_migrate": group.kind == "stranded" and _can_migrate(site, group.name),
        "example": None if example is None else example.instance_id,
        "example_address": (
            "" if example is None else instance_address(example.instance_id)
        ),
        "workflow": workflow,
        "tags": ",".join(tags),
        "updated_at": 0 if example is None else example.updated_at,
    }

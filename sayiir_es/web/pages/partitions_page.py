"""`/partitions` and `/workers`: who decides for what, how far it is, and what runs.

Both are fetched again every two seconds. A partition that nobody answers for stands
there with the reason and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from sayiir_es.client.partitions import describe_partitions, workers_of
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest

if TYPE_CHECKING:
    from sayiir_es.client.partitions import PartitionStatus, WorkerStatus
    from sayiir_es.web.masking import Masking
    from sayiir_es.wire.partition_reports import PartitionReport

router = APIRouter(include_in_schema=False)

SHOWN_MAX = 20
"""How many attempts of a worker the page names."""

KIBI = 1024

LATE_MS = 5_000
"""A timer that is due for so long is late: it is said."""


@router.get("/partitions")
async def show_partitions(request: Request, site: SiteOfRequest) -> Response:
    """All partitions."""
    return await _partitions(request, site, "partitions/list.html")


@router.get("/parts/partitions")
async def show_partition_rows(request: Request, site: SiteOfRequest) -> Response:
    """The rows of the page alone."""
    return await _partitions(request, site, "partitions/rows.html")


@router.get("/workers")
async def show_workers(request: Request, site: SiteOfRequest) -> Response:
    """All workers."""
    return await _workers(request, site, "partitions/workers.html")


@router.get("/parts/workers")
async def show_worker_cards(request: Request, site: SiteOfRequest) -> Response:
    """What the page has of each worker alone."""
    return await _workers(request, site, "partitions/worker_cards.html")


async def _partitions(request: Request, site: Site, template: str) -> Response:
    statuses = await _read(site)
    return page(
        request,
        template,
        partitions=[_row(status, site.masking) for status in statuses],
        unserved=sum(not status.is_served for status in statuses),
    )


async def _workers(request: Request, site: Site, template: str) -> Response:
    workers = workers_of(site.session, await _read(site))
    return page(
        request, template, workers=[_card(worker, site.masking) for worker in workers]
    )


async def _read(site: Site) -> tuple[PartitionStatus, ...]:
    """Ask the owners, once for all who look at about the same time."""
    return await site.answers.get(
        "partitions", lambda: describe_partitions(site.session)
    )


def _row(status: PartitionStatus, masking: Masking) -> dict[str, object]:
    report = status.report
    trouble = status.trouble
    fix = status.fix
    kind, state = _state(status)
    if trouble is None and report is not None and report.timer_overdue_ms > LATE_MS:
        trouble = f"{report.timers_due} timers are due, the first for " + seconds_text(
            report.timer_overdue_ms
        )
        fix = "the owner is behind: look at its queue, and give it more time or cores"
    return {
        "partition": status.partition,
        "kind": kind,
        "state": state,
        "owner": (status.owner_id or "").partition("/")[0],
        "owner_id": status.owner_id or "",
        "is_served": status.is_served,
        "report": report,
        "behind": status.commands_behind,
        "events_behind": None if report is None else report.events_behind,
        "events": status.events_end,
        "store": "" if report is None else bytes_text(report.store_bytes),
        "trouble": None if trouble is None else masking.text(trouble),
        "fix": None if fix is None else masking.text(fix),
        "undecided": [
            {
                "offset": one.offset,
                "instance_id": one.instance_id,
                "reason": masking.text(one.reason),
                "since": one.since,
                "command": one.command,
            }
            for one in (() if report is None else report.undecided[:SHOWN_MAX])
        ],
    }


def _state(status: PartitionStatus) -> tuple[str, str]:
    """How a partition is, as a mark: its kind and its words."""
    report = status.report
    if report is None:
        return "bad", "not served"
    if status.trouble is not None:
        return "bad", "held back"
    if report.is_recovering:
        return "waiting", "taking over"
    if report.commands_behind:
        return "busy", "behind"
    return "good", "served"


def _card(worker: WorkerStatus, masking: Masking) -> dict[str, object]:
    report = worker.latest
    running = [one for each in worker.reports for one in each.running]
    running.sort(key=lambda one: one.since or 0)
    return {
        "name": worker.worker_id,
        "owner_id": worker.owner_id,
        "report": report,
        "partitions": worker.partitions,
        "refused": [
            (number, masking.text(reason)) for number, reason in worker.refused.items()
        ],
        "tags": None if worker.tags is None else [masking.text(t) for t in worker.tags],
        "workflows": [masking.text(name) for name in worker.workflows],
        "is_announced": worker.is_announced,
        "since": _since(worker.reports),
        "running": [
            {
                "instance_id": one.instance_id,
                "address": instance_address(one.instance_id),
                "workflow": one.workflow,
                "path": one.path,
                "attempt": one.attempt,
                "since": one.since,
                "deadline_at": one.deadline_at,
            }
            for one in running[:SHOWN_MAX]
        ],
        "running_count": sum(each.running_count for each in worker.reports),
    }


def _since(reports: tuple[PartitionReport, ...]) -> int | None:
    return min((report.serving_since for report in reports), default=None)


def bytes_text(size: int | None) -> str:
    """A size for people: `3.2 MiB`; empty where there is none."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < KIBI:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= KIBI
    return f"{value:.1f} TiB"


def seconds_text(ms: int) -> str:
    """A time for people: `12 s`, `5 min`, `3 h`."""
    seconds = ms / 1000
    for unit, most in (("s", 120), ("min", 120)):
        if seconds < most:
            return f"{seconds:.0f} {unit}"
        seconds /= 60
    return f"{seconds:.0f} h"

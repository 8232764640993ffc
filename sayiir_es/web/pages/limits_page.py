"""`/limits`: how many attempts run under each key, or runs go on, and who waits.

Fetched again every two seconds. Limits are set by the API and the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from sayiir_es.client.limits import PAGE_LIMITS, list_limits
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest

if TYPE_CHECKING:
    from sayiir_es.core.status.limit_report import LimitedAttempt, LimitReport
    from sayiir_es.web.masking import Masking

router = APIRouter(include_in_schema=False)

SHOWN_MAX = 20
"""How many attempts of a limit the page names."""


@router.get("/limits")
async def show_limits(
    request: Request, site: SiteOfRequest, after: str = ""
) -> Response:
    """A page of the limits, and of the start queues behind them."""
    return await _limits(request, site, after, "limits/list.html")


@router.get("/parts/limits")
async def show_limit_rows(
    request: Request, site: SiteOfRequest, after: str = ""
) -> Response:
    """The rows of the page alone."""
    return await _limits(request, site, after, "limits/rows.html")


async def _limits(request: Request, site: Site, after: str, template: str) -> Response:
    found = await list_limits(site.session, PAGE_LIMITS, after)
    return page(
        request,
        template,
        limits=[_row(one, site.masking) for one in found.limits],
        after=after,
        next_after=found.next_after,
    )


def _row(limit: LimitReport, masking: Masking) -> dict[str, object]:
    return {
        "key": masking.text(limit.key),
        "limit": limit,
        "workflow": None if limit.workflow is None else masking.text(limit.workflow),
        "most": limit.max_running if limit.of == "runs" else limit.max_concurrency,
        "search": _search(limit),
        "first_since": limit.waiting[0].since if limit.waiting else None,
        "reason": None if limit.reason is None else masking.text(limit.reason),
        "holders": [_attempt(one) for one in limit.holders[:SHOWN_MAX]],
        "waiting": [_attempt(one) for one in limit.waiting[:SHOWN_MAX]],
    }


def _search(limit: LimitReport) -> str | None:
    """The page of the instances that wait, where a search finds them."""
    if limit.workflow is None:
        return None
    return "/?" + urlencode({"waiting_for": f"start:{limit.workflow}"})


def _attempt(one: LimitedAttempt) -> dict[str, object]:
    return {
        "instance_id": one.instance_id,
        "address": instance_address(one.instance_id),
        "path": one.path,
        "since": one.since,
    }

"""Limits: listed, shown, and set while attempts run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from sayiir_es.client.limits import PAGE_LIMITS, PAGE_MAX, get_limit, list_limits
from sayiir_es.core.model.commands import SetLimit
from sayiir_es.core.model.permit_events import limit_id
from sayiir_es.operations.limit_view import limit_view
from sayiir_es.operations.owner_answers import ask_owner
from sayiir_es.web.api.deciding import command_id_of, requester_of
from sayiir_es.web.api.requests import LimitBody
from sayiir_es.web.api.responses import ApiResponse, Limit, Limits
from sayiir_es.web.api.values import IdempotencyKey, LimitKey
from sayiir_es.web.site import CallerOfRequest, SiteOfRequest

router = APIRouter(prefix="/limits", tags=["limits"])


@router.get("", operation_id="listLimits", response_model=Limits)
async def list_all(
    site: SiteOfRequest,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_LIMITS,
    after: Annotated[
        str, Query(description="The key behind which the page begins: `next_after`.")
    ] = "",
) -> ApiResponse:
    """The limits that are in use, waited for, or set, in the order of their keys."""
    page = await list_limits(site.session, limit, after)
    limits = [site.masking.fields(limit_view(one)) for one in page.limits]
    return ApiResponse({"limits": limits, "next_after": page.next_after})


@router.get("/{key}", operation_id="getLimit", response_model=Limit)
async def show_limit(site: SiteOfRequest, key: LimitKey) -> ApiResponse:
    """One limit; a key that nobody has used has nothing in use."""
    return await _shown(site, key)


@router.put("/{key}", operation_id="setLimit", response_model=Limit)
async def set_limit(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    key: LimitKey,
    body: LimitBody,
    idempotency: IdempotencyKey,
) -> ApiResponse:
    """Set a limit at once; what is null or left out is as the tasks say it."""
    command = SetLimit(
        instance_id=limit_id(key),
        command_id=command_id_of(body, idempotency),
        max_concurrency=body.max_concurrency,
        rate=body.rate,
        reason=body.reason,
        requested_by=requester_of(body, caller),
    )
    await ask_owner(site.session, command)
    return await _shown(site, key)


async def _shown(site: SiteOfRequest, key: str) -> ApiResponse:
    limit = await get_limit(site.session, key)
    return ApiResponse(site.masking.fields(limit_view(limit)))

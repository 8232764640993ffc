"""Limits of attempts, and start queues: listed, shown, and set while others run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from sayiir_es.client.limits import (
    PAGE_LIMITS,
    PAGE_MAX,
    LimitNumbers,
    get_limit,
    limit_setting,
    list_limits,
)
from sayiir_es.core.model.errors import InvalidRequestError
from sayiir_es.core.status.limit_report import LimitOf
from sayiir_es.operations.limit_view import limit_view
from sayiir_es.operations.owner_answers import ask_owner
from sayiir_es.web.api.deciding import command_id_of, requester_of
from sayiir_es.web.api.requests import LimitBody
from sayiir_es.web.api.responses import ApiResponse, Limit, Limits
from sayiir_es.web.api.values import IdempotencyKey, LimitId
from sayiir_es.web.site import CallerOfRequest, SiteOfRequest

router = APIRouter(prefix="/limits", tags=["limits"])


@router.get("", operation_id="listLimits", response_model=Limits)
async def list_all(
    site: SiteOfRequest,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_LIMITS,
    after: Annotated[
        str, Query(description="Where the page begins: `next_after` of the one before.")
    ] = "",
    of: Annotated[
        LimitOf | None, Query(description="Those that count this alone.")
    ] = None,
) -> ApiResponse:
    """The limits that are in use, waited for, or set, in the order of their keys.

    Those of attempts come first, then start queues, which are limits of runs.
    """
    try:
        page = await list_limits(site.session, limit, after, of)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error
    limits = [site.masking.fields(limit_view(one)) for one in page.limits]
    return ApiResponse({"limits": limits, "next_after": page.next_after})


@router.get("/{key}", operation_id="getLimit", response_model=Limit)
async def show_limit(site: SiteOfRequest, key: LimitId) -> ApiResponse:
    """One limit; a key that nobody has used has nothing in use."""
    return await _shown(site, key)


@router.put("/{key}", operation_id="setLimit", response_model=Limit)
async def set_limit(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    key: LimitId,
    body: LimitBody,
    idempotency: IdempotencyKey,
) -> ApiResponse:
    """Set a limit at once; what is null or left out is as tasks or the workflow say.

    Of attempts, `max_concurrency` and `rate` are set, with `of=runs` `max_running` and
    `queue_length`.
    """
    numbers = LimitNumbers(
        max_concurrency=body.max_concurrency,
        rate=body.rate,
        max_running=body.max_running,
        queue_length=body.queue_length,
    )
    try:
        setting = limit_setting(key, numbers, body.reason, requester_of(body, caller))
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error
    command = replace(setting, command_id=command_id_of(body, idempotency))
    await ask_owner(site.session, command)
    return await _shown(site, key)


async def _shown(site: SiteOfRequest, instance_id: str) -> ApiResponse:
    limit = await get_limit(site.session, instance_id)
    return ApiResponse(site.masking.fields(limit_view(limit)))

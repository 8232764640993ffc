"""The history of an instance, its state behind any event, and what differs."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from fastapi import APIRouter, Query

from sayiir_es.audit.history import Change
from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.operations.history_pages import read_history_page
from sayiir_es.web.api.requests import HistoryQuery
from sayiir_es.web.api.responses import ApiResponse, Difference, HistoryPage, State
from sayiir_es.web.api.values import InstanceId
from sayiir_es.web.site import Site, SiteOfRequest

router = APIRouter(prefix="/instances/{instance_id}", tags=["history"])

Sequence = Annotated[int, Query(ge=0, le=2**53)]


@router.get("/history", operation_id="getHistory", response_model=HistoryPage)
async def get_history(
    site: SiteOfRequest,
    instance_id: InstanceId,
    query: Annotated[HistoryQuery, Query()],
) -> ApiResponse:
    """A page of the events of an instance, in order; only valid ones count."""
    after = -1 if query.page_token is None else int(query.page_token)
    page = await read_history_page(
        site.session, instance_id, after=after, limit=query.limit
    )
    if not page.events and after < 0:
        raise NotFoundError(f"expected an instance {instance_id!r}, but there is none")
    token = None if page.next_offset is None else str(page.next_offset)
    events = [site.masking.fields(event) for event in page.events]
    return ApiResponse({"events": events, "next_page_token": token})


@router.get("/state", operation_id="getState", response_model=State)
async def get_state(
    site: SiteOfRequest,
    instance_id: InstanceId,
    at: Annotated[
        Sequence | None,
        Query(description="Behind the event of that sequence; else behind the last."),
    ] = None,
) -> ApiResponse:
    """The snapshot of an instance as it was, folded from its events."""
    history = await site.histories.read(site.session, instance_id)
    snapshot = await asyncio.to_thread(history.state, at)
    return ApiResponse(site.masking.fields(snapshot.data()))


@router.get("/diff", operation_id="getDifference", response_model=Difference)
async def get_difference(
    site: SiteOfRequest,
    instance_id: InstanceId,
    before: Annotated[
        Sequence, Query(alias="from", description="A sequence; 0 is before the first.")
    ],
    after: Annotated[
        Sequence | None,
        Query(alias="to", description="Another one; else that of the last event."),
    ] = None,
) -> ApiResponse:
    """What differs between two snapshots of an instance, field by field."""
    history = await site.histories.read(site.session, instance_id)
    changes = await asyncio.to_thread(history.diff, before, after)
    return ApiResponse({"changes": [_shown_change(site, one) for one in changes]})


def _shown_change(site: Site, change: Change) -> dict[str, object]:
    """A field that differs, masked as it is in its snapshot."""
    name, dot, inner = change.field.partition(".")

    def shown(value: object) -> object:
        if not dot:
            return site.masking.fields({name: value})[name]
        fields = site.masking.fields({name: {inner: value}})[name]
        return cast("dict[str, object]", fields)[inner]

    return {
        "field": change.field,
        "change": change.change,
        "before": shown(change.before),
        "after": shown(change.after),
    }

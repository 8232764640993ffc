"""`/live`: server-sent events that tell an open page what has changed.

A message `changed` has the marks of valid events; its id is the last place of every
partition, as `partition:offset`, by which a browser that was cut off goes on. With
`"all": true` there was too much to tell, or to read again: load the page anew. Several
changes that come at once share a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.telemetry import get_logger
from sayiir_es.web.live import Changes
from sayiir_es.web.site import SiteOfRequest

logger = get_logger(__name__)

router = APIRouter(include_in_schema=False)

SHARED_S = 0.2
"""How long, in seconds, a message waits for more."""

AGAIN_MS = 2_000
"""After which time a browser that was cut off comes back."""

LATER_MS = 10_000
"""After which time a browser comes back that could not be served."""

PLACES = r"^(?:[0-9]{1,9}:-?[0-9]{1,18}(?:,|$))*$"


@router.get("/live", response_class=EventSourceResponse)
async def live(
    site: SiteOfRequest,
    instance: Annotated[str | None, Query(max_length=2_000)] = None,
    after: Annotated[str, Query(max_length=20_000, pattern=PLACES)] = "",
    last_event_id: Annotated[str, Header(max_length=20_000, pattern=PLACES)] = "",
) -> AsyncGenerator[ServerSentEvent]:
    """What changes: of all instances, or of one."""
    changes = site.live.follow(instance_id=instance, after=last_event_id or after)
    ending = asyncio.create_task(site.ending.wait())
    is_first = True
    try:
        while (change := await _next(changes, ending)) is not None:
            is_news = bool(change.marks) or change.is_cut or not is_first
            event = "changed" if is_news else "ready"
            yield _message(event, change, AGAIN_MS if is_first else None)
            is_first = False
            await asyncio.wait((ending,), timeout=SHARED_S)
    except WorkflowError as error:  # as many listen as may, or the log is silent
        logger.warning("live.interrupted", reason=str(error))
        yield ServerSentEvent(comment=error.code, retry=LATER_MS)
    finally:
        ending.cancel()
        await changes.aclose()


async def _next(
    changes: AsyncGenerator[Changes], ending: asyncio.Task[Literal[True]]
) -> Changes | None:
    """The next changes; None when the process ends."""
    coming = asyncio.ensure_future(anext(changes))
    try:
        await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() and not ending.done() else None
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def _message(event: str, change: Changes, again_ms: int | None) -> ServerSentEvent:
    events = [
        {
            "place": f"{mark.partition}@{mark.offset}",
            "kind": mark.kind,
            "instance_id": mark.instance_id,
        }
        for mark in change.marks
    ]
    data = {"events": events, "all": change.is_cut}
    return ServerSentEvent(event=event, id=change.place, data=data, retry=again_ms)

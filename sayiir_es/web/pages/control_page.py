"""One command for many instances, from the list: the count first, then the progress.

The answer to a post is a stream of lines of JSON, so that nothing of it is kept on the
server: how many have answered, of how many; at the end what was refused. A browser that
goes away stops nothing.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, unquote

from fastapi import APIRouter, Form, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from sayiir_es.core.model.errors import DecodeError, UsageError, WorkflowError
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.operations.bulk_control import BulkControl, control_name
from sayiir_es.telemetry import get_logger
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.pages.instance_filter import InstanceFilter
from sayiir_es.web.pages.templates import printable
from sayiir_es.web.site import CallerOfRequest, Site, SiteOfRequest
from sayiir_es.wire.payload import check_payload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sayiir_es.client.bulk import BulkResult

logger = get_logger(__name__)

router = APIRouter(include_in_schema=False)

LINE_EVERY_S = 0.25
"""How often, in seconds, the progress is told."""

ERRORS_MAX = 1_000
"""How many refused instances are told; the rest is counted."""

ERROR_MAX = 300
"""How many characters of an error are told."""

IDS_MAX = 1_000

_runs: set[asyncio.Task[None]] = set()
"""What goes on, also when nobody looks."""


@router.get("/parts/control-count")
async def count_matching(request: Request, site: SiteOfRequest) -> dict[str, int]:
    """To how many of those that match it would be done now."""
    control = BulkControl(name=control_name(request.query_params.get("name", "")))
    search = InstanceFilter.read(request.query_params).search()
    return {"count": await control.count(site.session, search)}


class ControlForm(BaseModel):
    """What is to be done to which instances.

    Attributes:
        ids: Quoted as in an address: a form would change some of their characters.
        query: The filter of the page, for where none is named.
    """

    name: str
    ids: list[str] = Field(default=[], max_length=IDS_MAX)
    query: str = Field(default="", max_length=20_000)
    reason: str = Field(default="", max_length=2_000)
    signal: str = Field(default="", max_length=2_000)
    payload: str = "null"

    def control(self, requested_by: str) -> BulkControl:
        """What is to be done.

        Raises:
            UsageError: if it is nothing, or the payload is no JSON.
        """
        control = BulkControl(
            name=control_name(self.name),
            reason=self.reason.strip() or None,
            requested_by=requested_by or None,
            signal=self.signal.strip(),
            payload=read_payload(self.payload),
        )
        if control.name == "signal" and not control.signal:
            raise UsageError("expected the name of a signal, but none")
        return control


@router.post("/instances-control")
async def control_many(
    site: SiteOfRequest, caller: CallerOfRequest, form: Annotated[ControlForm, Form()]
) -> StreamingResponse:
    """Do it to the named instances; where none is named, to all that match."""
    shown = InstanceFilter.read(dict(parse_qsl(form.query, errors="surrogatepass")))
    shown.search()  # a wrong one is told now
    run = _Run(site, form.control(caller.name))
    ids = [unquote(one, errors="surrogatepass") for one in form.ids]
    task = asyncio.create_task(run.work(ids, shown))
    _runs.add(task)
    task.add_done_callback(_end_run)
    return StreamingResponse(run.lines(task), media_type="application/x-ndjson")


def read_payload(text: str) -> bytes:
    """The JSON that was typed, kept as it is.

    Raises:
        UsageError: if it is none, or too large.
    """
    data = text.strip().encode("utf-8", "surrogatepass") or b"null"
    try:
        check_payload(data, once=True)
    except DecodeError as error:
        raise UsageError(str(error)) from error
    if len(data) > DEFAULT_LIMITS.payload_bytes:
        raise UsageError(
            f"expected at most {DEFAULT_LIMITS.payload_bytes} bytes of JSON, but "
            f"{len(data)}"
        )
    return data


def _end_run(task: asyncio.Task[None]) -> None:
    _runs.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("bulk.failed", exc_info=error)


@dataclass(slots=True, eq=False)
class _Run:
    """One command for many instances, and how far it is."""

    site: Site
    control: BulkControl
    answered: int = 0
    total: int = 0
    result: BulkResult | None = None
    problem: str = ""

    async def work(self, ids: Sequence[str], shown: InstanceFilter) -> None:
        """Do it."""
        session = self.site.session
        self.problem = "expected an end, but something failed that nobody foresaw"
        try:
            found = ids or await self.control.find(session, shown.search())
            self.total = len(found)
            self.result = await self.control.do(session, found, self._set_progress)
            self.problem = ""
        except WorkflowError as error:
            self.problem = str(error)

    def _set_progress(self, answered: int, total: int) -> None:
        self.answered, self.total = answered, total

    async def lines(self, task: asyncio.Task[None]) -> AsyncGenerator[bytes]:
        """How far it is, until it has ended."""
        while not task.done():
            await asyncio.wait((task,), timeout=LINE_EVERY_S)
            yield _line({"answered": self.answered, "total": self.total})
        yield _line(self._end())

    def _end(self) -> dict[str, object]:
        result = self.result
        errors: Mapping[str, WorkflowError] = {} if result is None else result.errors
        text = self.site.masking.text
        return {
            "is_end": True,
            "answered": self.answered,
            "total": self.total,
            "problem": text(self.problem),
            "done": 0 if result is None else result.done,
            "failed": len(errors),
            "errors": [
                {
                    "instance_id": printable(instance_id),
                    "address": instance_address(instance_id),
                    "error": printable(text(str(error))[:ERROR_MAX]),
                }
                for instance_id, error in list(errors.items())[:ERRORS_MAX]
            ],
        }


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"

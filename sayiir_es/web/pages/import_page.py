"""`/import`: an export or a history from a file, to look at without a broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from sayiir_es.core.model.errors import NotFoundError, UsageError, WorkflowError
from sayiir_es.operations.imported_files import (
    BYTES_MAX,
    Imported,
    ImportedFile,
    read_files,
)
from sayiir_es.web.pages.instance.answers import answer
from sayiir_es.web.pages.instance.shown import Query, ShownInstance
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest

if TYPE_CHECKING:
    from sayiir_es.audit.history import History
    from sayiir_es.core.status.status import Status

router = APIRouter()

UNREADABLE = 422
LISTED_MAX = 200
FILES_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInstance:
    """An instance of the files; without a status where its history is not whole."""

    instance_id: str
    address: str
    events: int
    status: Status | None
    problem: str


@router.get("/import")
async def choose_files(request: Request) -> Response:
    """Where files are chosen or dropped."""
    return page(request, "instance/import.html", problem="", bytes_max=BYTES_MAX)


@router.post("/import")
async def take_files(request: Request, site: SiteOfRequest) -> Response:
    """Read what was handed in, and go to it."""
    try:
        imported = await asyncio.to_thread(read_files, await _files(request))
    except WorkflowError as error:
        return page(
            request,
            "instance/import.html",
            status_code=UNREADABLE,
            problem=site.masking.text(str(error)),
            bytes_max=BYTES_MAX,
        )
    name = site.imports.add(imported)
    return RedirectResponse(f"/import/{name}", 303)


async def _files(request: Request) -> list[ImportedFile]:
    """The files of a form, read as far as they may be.

    Raises:
        UsageError: if they are larger, or none was chosen.
    """
    form = await request.form()
    files: list[ImportedFile] = []
    left = BYTES_MAX
    for value in form.getlist("files"):
        if not isinstance(value, UploadFile) or not value.filename:
            continue
        if len(files) >= FILES_MAX:
            raise UsageError(f"expected at most {FILES_MAX} files, but there are more")
        data = await value.read(left + 1)
        left -= len(data)
        if left < 0:
            raise UsageError(
                f"expected at most {BYTES_MAX:,} bytes of files, but there are more: "
                "hand in the history of one instance"
            )
        name = value.filename.replace("\\", "/").rpartition("/")[2]
        files.append(ImportedFile(name=name[:200], data=data))
    if not files:
        raise UsageError("expected a file, but none was chosen")
    return files


@router.get("/import/{name}")
async def show_files(request: Request, site: SiteOfRequest, name: str) -> Response:
    """An instance of the files; without an id all of them, if they are several."""
    imported = site.imports.get(name)
    instance_id = request.query_params.get("id")
    if instance_id is None:
        if len(imported.histories) > 1:
            return await asyncio.to_thread(_list, request, site, imported, name)
        (instance_id,) = imported.histories
    history = imported.histories.get(instance_id)
    if history is None:
        raise NotFoundError(
            f"expected an instance {instance_id!r} in the files, but there is none"
        )
    shown = await asyncio.to_thread(_shown, site, history, name)
    return await asyncio.to_thread(
        answer, request, shown, Query.read(request.query_params)
    )


def _list(request: Request, site: Site, imported: Imported, name: str) -> Response:
    histories = tuple(imported.histories.values())
    return page(
        request,
        "instance/imported.html",
        instances=[_listed(site, one, name) for one in histories[:LISTED_MAX]],
        left_out=max(len(histories) - LISTED_MAX, 0),
        passed=imported.passed,
        graphs=imported.graphs,
    )


def _listed(site: Site, history: History, name: str) -> ListedInstance:
    problem, status = "", None
    try:
        status = history.state().status
    except WorkflowError as error:
        problem = site.masking.text(str(error))
    return ListedInstance(
        instance_id=history.instance_id,
        address=_address(history.instance_id, name),
        events=len(history.events),
        status=status,
        problem=problem,
    )


def _shown(site: Site, history: History, name: str) -> ShownInstance:
    return ShownInstance(
        history=history,
        status=history.state().status,
        address=f"/import/{name}",
        fixed=(("id", history.instance_id),),
        masking=site.masking,
        is_live=False,
        trace_url=site.trace_url,
    )


def _address(instance_id: str, name: str) -> str:
    return f"/import/{name}?{urlencode({'id': instance_id})}"

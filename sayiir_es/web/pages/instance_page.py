"""`/instances/{id}`: one instance of the log; whatever its id is.

Everything of the page has its address, which differs in the query alone: an id may end
in any text, so nothing can stand behind it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import NotFoundError, UsageError, WorkflowError
from sayiir_es.web.pages.flash_messages import redirect
from sayiir_es.web.pages.instance.actions import read_act
from sayiir_es.web.pages.instance.answers import answer
from sayiir_es.web.pages.instance.shown import Query, ShownInstance
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import CallerOfRequest, Site, SiteOfRequest

if TYPE_CHECKING:
    from sayiir_es.audit.history import History
    from sayiir_es.core.status.status import Status

router = APIRouter()


class _Anything(Convertor[str]):
    """The rest of an address, whatever is in it: Starlette's own ends at a newline."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The id as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The id as it is."""
        return value


register_url_convertor("anything", _Anything())

READ_LIMIT_S = 4.0
"""How long a page waits for a history; then it says that it is being read."""


@router.get("/instances/{instance_id:anything}")
async def show_instance(
    request: Request, site: SiteOfRequest, instance_id: str
) -> Response:
    """The page of an instance, a part of it, or a value to download."""
    instance_id = instance_id or request.query_params.get("id", "")
    query = Query.read(request.query_params)
    history = await site.histories.read_within(site.session, instance_id, READ_LIMIT_S)
    if history is None:
        read, records = site.histories.progress(instance_id)
        return page(
            request,
            "instance/reading.html",
            instance_id=instance_id,
            read=read,
            records=records,
            address=str(request.url.path),
        )
    shown = await _shown(site, history)
    # Ten thousand events take some hundred milliseconds: others are served meanwhile.
    return await asyncio.to_thread(answer, request, shown, query)


@router.post("/instances/{instance_id:anything}")
async def act_on_instance(
    request: Request, site: SiteOfRequest, caller: CallerOfRequest, instance_id: str
) -> Response:
    """Do what a form of the page asks for, and show the page again."""
    instance_id = instance_id or request.query_params.get("id", "")
    fields = await request.form()
    form = {name: text for name, text in fields.items() if isinstance(text, str)}
    try:
        act = read_act(instance_id, form, caller.name)
        _ = await site.session.execute(act.command)
    except (UsageError, WorkflowError) as error:
        history = await site.histories.read(site.session, instance_id)
        shown = await _shown(site, history)
        wrong = site.masking.text(str(error))
        return answer(request, shown, Query(), form=form, wrong=wrong)
    target = act.command.instance_id if isinstance(act.command, ForkWorkflow) else None
    return redirect(instance_address(target or instance_id), act.done)


async def _shown(site: Site, history: History) -> ShownInstance:
    address, _, query = instance_address(history.instance_id).partition("?")
    return ShownInstance(
        history=history,
        status=await _status(site, history),
        address=address,
        fixed=tuple(parse_qsl(query)),
        masking=site.masking,
        is_live=True,
        trace_url=site.trace_url,
    )


async def _status(site: Site, history: History) -> Status | None:
    """What the owner says, for it knows what it lacks; else what the events say."""
    try:
        return await site.session.find_status(history.instance_id)
    except NotFoundError:
        return None
    except WorkflowError:
        return history.state().status

"""`/start`: a form that starts an instance of a published workflow."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from sayiir_es.client.commands import start_command
from sayiir_es.client.instance_ids import new_instance_id
from sayiir_es.core.model.errors import UsageError, WorkflowError
from sayiir_es.web.pages.control_page import read_payload
from sayiir_es.web.pages.flash_messages import redirect
from sayiir_es.web.pages.instance_address import instance_address
from sayiir_es.web.pages.instance_filter import parse_attributes
from sayiir_es.web.pages.instances_page import workflow_names
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest

router = APIRouter(include_in_schema=False)

UNPROCESSABLE = 422


@router.get("/start")
async def show_start(
    request: Request, site: SiteOfRequest, workflow: str = ""
) -> Response:
    """The form."""
    return page(
        request,
        "instances/start.html",
        workflows=await workflow_names(site),
        typed={
            "workflow": workflow,
            "instance_id": "",
            "value": "",
            "attributes": "",
        },
        wrong={},
    )


@router.post("/start")
async def start(
    request: Request,
    site: SiteOfRequest,
    workflow: Annotated[str, Form(max_length=2_000)] = "",
    instance_id: Annotated[str, Form(max_length=2_000)] = "",
    value: Annotated[str, Form()] = "",
    attributes: Annotated[str, Form(max_length=20_000)] = "",
) -> Response:
    """Start it, and go on to its page; or show the form again, and what is wrong."""
    typed = {
        "workflow": workflow,
        "instance_id": instance_id,
        "value": value,
        "attributes": attributes,
    }
    wrong: dict[str, str] = {}
    new_id = instance_id.strip() or _new_id(workflow)
    for name, check in (
        ("workflow", lambda: _check_name(workflow)),
        ("instance_id", lambda: new_instance_id(new_id)),
        ("value", lambda: read_payload(value)),
        ("attributes", lambda: parse_attributes(attributes)),
    ):
        try:
            check()
        except (WorkflowError, ValueError) as error:
            wrong[name] = site.masking.text(str(error))
    if not wrong:
        try:
            return await _start(site, new_id, typed)
        except WorkflowError as error:
            wrong["all"] = site.masking.text(str(error))
    return page(
        request,
        "instances/start.html",
        status_code=UNPROCESSABLE,
        workflows=await workflow_names(site),
        typed=typed,
        wrong=wrong,
    )


def _check_name(workflow: str) -> None:
    if not workflow.strip():
        raise UsageError("expected a workflow, but none")


def _new_id(workflow: str) -> str:
    return f"{workflow[:100]}-{secrets.token_hex(4)}"


async def _start(site: Site, new_id: str, typed: dict[str, str]) -> Response:
    name = typed["workflow"].strip()
    command = start_command(
        name,
        new_id,
        read_payload(typed["value"]),
        policy="fail",
        attributes=parse_attributes(typed["attributes"]),
    )
    status = await site.session.submit(name, command)
    return redirect(
        instance_address(new_id), f"Started {status.instance_id} of {status.workflow}"
    )

"""Instances: start, list, count, describe, and what came of them."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Query

from sayiir_es.client.commands import new_command_id
from sayiir_es.client.debounced_starts import debounce_of, debounced, quiet_text
from sayiir_es.client.search import (
    count_by_group,
    newest_instances,
    read_page_token,
    search_of,
)
from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.model.errors import InvalidRequestError, NotFoundError
from sayiir_es.core.status.status import ENDED, Status
from sayiir_es.engine.clock import SystemClock
from sayiir_es.operations.owner_answers import ask_owner
from sayiir_es.web.api.deciding import given_command_id, shown_instance
from sayiir_es.web.api.requests import (
    CountQuery,
    DebouncedStartBody,
    ListQuery,
    StartBody,
)
from sayiir_es.web.api.responses import (
    ApiResponse,
    Counts,
    DebouncedStart,
    Instance,
    InstanceList,
    InstanceResult,
    TaskResult,
)
from sayiir_es.web.api.values import IdempotencyKey, InstanceId, TaskId, Wait
from sayiir_es.web.site import Site, SiteOfRequest
from sayiir_es.wire.searches import group_parts

router = APIRouter(tags=["instances"])

ACCEPTED, CREATED, OK = 202, 201, 200

_GROUP_PARTS = {"version": ("workflow", "version"), "error": ("error_type", "error_in")}
"""What a group has that is more than one name."""


@router.post(
    "/instances",
    operation_id="startInstance",
    response_model=Instance,
    status_code=CREATED,
    responses={
        200: {"model": Instance, "description": "It was there, or it has ended."},
        202: {"model": Instance, "description": "It goes on when the wait is over."},
    },
)
async def start_instance(
    site: SiteOfRequest, body: StartBody, key: IdempotencyKey, wait: Wait
) -> ApiResponse:
    """Start an instance of a workflow; with `wait` until it has ended.

    A start with a `command_id` may be sent again: it starts nothing twice.
    """
    session = site.session
    start = _start_of(site, body, key)
    await session.wait_for_name(body.workflow, body.version)
    decided = await ask_owner(session, start)
    is_new = decided.event != "CommandAcknowledged"
    status = decided.status
    if wait is not None:
        status = await _wait(site, start.instance_id, wait)
        code = OK if status.status in ENDED else ACCEPTED
    else:
        status = status or await session.get_status(start.instance_id)
        code = CREATED if is_new else OK
    return ApiResponse(shown_instance(site, status), code)


@router.post(
    "/debounced-starts",
    operation_id="debounceStart",
    response_model=DebouncedStart,
    status_code=ACCEPTED,
)
async def debounce_start(
    site: SiteOfRequest, body: DebouncedStartBody, key: IdempotencyKey
) -> ApiResponse:
    """Start an instance once no other start of its key came for a while.

    Of a burst of starts only the last one starts: each takes the place of the one
    before it. There is no instance before that.
    """
    try:
        debounce = debounce_of(body.debounce, body.debounce_key, body.debounce_max)
        assert debounce is not None
        command = debounced(_start_of(site, body, key), debounce)
    except ValueError as error:
        raise InvalidRequestError(f"debounce: {error}") from error
    await site.session.wait_for_name(body.workflow, body.version)
    await ask_owner(site.session, command)
    shown = {
        "instance_id": command.start_id,
        "workflow": command.workflow,
        "debounced_as": command.instance_id,
        "waiting_for": quiet_text(command),
    }
    return ApiResponse(shown, ACCEPTED)


def _start_of(site: Site, body: StartBody, key: str | None) -> StartWorkflow:
    command_id = given_command_id(body, key)
    return StartWorkflow(
        instance_id=body.instance_id or _new_id(body.workflow, command_id),
        command_id=command_id or new_command_id(),
        workflow=body.workflow,
        input=site.session.payloads.encode(body.input),
        definition_hash=body.definition_hash,
        conflict_policy=body.conflict_policy,
        attributes=body.attributes,
        version=body.version,
    )


@router.get("/instances", operation_id="listInstances", response_model=InstanceList)
async def list_instances(
    site: SiteOfRequest, query: Annotated[ListQuery, Query()]
) -> ApiResponse:
    """A page of the instances that match, the last started (or changed) first."""
    search = search_of(query.criteria(), now_ms=SystemClock().now_ms())
    try:
        before = read_page_token(query.page_token)
    except ValueError as error:
        raise InvalidRequestError(f"page_token: {error}") from error
    found = await newest_instances(site.session, search, query.limit + 1, before)
    token = None
    if len(found) > query.limit:
        at_ms, last = found[query.limit - 1]
        token = f"{at_ms}.{last.instance_id}"
    instances = [shown_instance(site, status) for _, status in found[: query.limit]]
    return ApiResponse({"instances": instances, "next_page_token": token})


@router.get("/counts", operation_id="countInstances", response_model=Counts)
async def count_instances(
    site: SiteOfRequest, query: Annotated[CountQuery, Query()]
) -> ApiResponse:
    """How many instances match, and how many of each group."""
    search = search_of(query.criteria(), now_ms=SystemClock().now_ms())
    group = query.group_by
    counts = await count_by_group(site.session, search, group or "all")
    if group is None:
        return ApiResponse({"total": counts.total(), "groups": []})
    names = _GROUP_PARTS.get(group, (group,))
    groups = [
        {"count": count, "group": dict(zip(names, parts, strict=True))}
        for name, count in counts.most_common()
        for parts in [group_parts(name) if group in _GROUP_PARTS else (name,)]
    ]
    total = counts.total()
    if group == "waiting_for":  # an instance may wait for several things
        total = (await count_by_group(site.session, search, "all")).total()
    return ApiResponse({"total": total, "groups": groups})


@router.get(
    "/instances/{instance_id}", operation_id="describeInstance", response_model=Instance
)
async def describe_instance(
    site: SiteOfRequest, instance_id: InstanceId
) -> ApiResponse:
    """An instance: its status, and what it waits for."""
    return ApiResponse(shown_instance(site, await _status(site, instance_id)))


@router.get(
    "/instances/{instance_id}/result",
    operation_id="getInstanceResult",
    response_model=InstanceResult,
    responses={202: {"model": InstanceResult, "description": "It has not ended yet."}},
)
async def get_instance_result(
    site: SiteOfRequest, instance_id: InstanceId, wait: Wait
) -> ApiResponse:
    """What came of an instance; with `wait` when it has ended."""
    status = await _status(site, instance_id)
    if wait is not None and status.status not in ENDED:
        status = await _wait(site, instance_id, wait)
    view = shown_instance(site, status)
    names = ("instance_id", "status", "output", "error", "error_type")
    code = OK if status.status in ENDED else ACCEPTED
    return ApiResponse({name: view[name] for name in names}, code)


@router.get(
    "/instances/{instance_id}/tasks/{task_id}/result",
    operation_id="getTaskResult",
    response_model=TaskResult,
)
async def get_task_result(
    site: SiteOfRequest, instance_id: InstanceId, task_id: TaskId
) -> ApiResponse:
    """The result of a task, the first of that id in the order of the graph."""
    data = await site.session.get_task_result(instance_id, task_id)
    if data is None:
        raise NotFoundError(
            f"expected a result of task {task_id!r} of {instance_id!r}, but there is "
            "none (yet)"
        )
    return ApiResponse(
        {
            "instance_id": instance_id,
            "task_id": task_id,
            "result": site.masking.payload(data),
        }
    )


def _new_id(workflow: str, command_id: str | None) -> str:
    """An id for a start that brings none: the same one for the same command."""
    if command_id is None:
        return f"{workflow[:50]}-{token_hex(8)}"
    digest = sha256(f"{workflow}\n{command_id}".encode()).hexdigest()
    return f"{workflow[:50]}-{digest[:16]}"


async def _status(site: Site, instance_id: str) -> Status:
    status = await site.session.find_status(instance_id)
    if status is None:
        raise NotFoundError(f"expected an instance {instance_id!r}, but there is none")
    return status


async def _wait(site: Site, instance_id: str, limit_s: float) -> Status:
    """The status at the end, or as it is when the time is over."""
    with suppress(TimeoutError):
        return await site.session.wait(instance_id, timeout_s=limit_s)
    return await _status(site, instance_id)

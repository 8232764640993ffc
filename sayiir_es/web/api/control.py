"""Commands to one instance: signal, cancel, pause, unpause, retry, migrate, fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from fastapi import APIRouter

from sayiir_es.core.model.commands import (
    CancelWorkflow,
    ForkWorkflow,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.web.api.deciding import command_id_of, decide, requester_of
from sayiir_es.web.api.requests import (
    ForkBody,
    MigrateBody,
    ReasonBody,
    RetryBody,
    SignalBody,
)
from sayiir_es.web.api.responses import ApiResponse, Decision
from sayiir_es.web.api.values import IdempotencyKey, InstanceId
from sayiir_es.web.site import CallerOfRequest, SiteOfRequest

if TYPE_CHECKING:
    from sayiir_es.web.security.tokens import Caller

router = APIRouter(prefix="/instances/{instance_id}", tags=["control"])


@router.post("/signals", operation_id="sendSignal", response_model=Decision)
async def send_signal(
    site: SiteOfRequest, instance_id: InstanceId, body: SignalBody, key: IdempotencyKey
) -> ApiResponse:
    """Send a signal; it is buffered until a wait takes it, or the instance is there."""
    command = SendSignal(
        instance_id=instance_id,
        command_id=command_id_of(body, key),
        signal=body.name,
        payload=site.session.payloads.encode(body.payload),
        signal_id=body.signal_id,
    )
    return await decide(site, command)


@router.post("/cancel", operation_id="cancelInstance", response_model=Decision)
async def cancel_instance(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    instance_id: InstanceId,
    key: IdempotencyKey,
    body: ReasonBody | None = None,
) -> ApiResponse:
    """Cancel an instance; it ends when nothing runs any more."""
    told = _told(caller, key, body)
    return await decide(site, CancelWorkflow(instance_id=instance_id, **told))


@router.post("/pause", operation_id="pauseInstance", response_model=Decision)
async def pause_instance(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    instance_id: InstanceId,
    key: IdempotencyKey,
    body: ReasonBody | None = None,
) -> ApiResponse:
    """Begin nothing new in an instance; what runs may end first."""
    told = _told(caller, key, body)
    return await decide(site, PauseWorkflow(instance_id=instance_id, **told))


@router.post("/unpause", operation_id="unpauseInstance", response_model=Decision)
async def unpause_instance(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    instance_id: InstanceId,
    key: IdempotencyKey,
    body: ReasonBody | None = None,
) -> ApiResponse:
    """Let a paused instance go on."""
    told = _told(caller, key, body)
    return await decide(site, UnpauseWorkflow(instance_id=instance_id, **told))


@router.post("/retry", operation_id="retryInstance", response_model=Decision)
async def retry_instance(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    instance_id: InstanceId,
    key: IdempotencyKey,
    body: RetryBody | None = None,
) -> ApiResponse:
    """Let a failed instance go on from the node that failed."""
    data = None
    if body is not None and body.has_input:
        data = site.session.payloads.encode(body.input)
    told = _told(caller, key, body)
    command = RetryWorkflow(instance_id=instance_id, input=data, **told)
    return await decide(site, command)


@router.post("/migrate", operation_id="migrateInstance", response_model=Decision)
async def migrate_instance(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    instance_id: InstanceId,
    body: MigrateBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Let an instance go on with another graph of its workflow."""
    command = MigrateWorkflow(
        instance_id=instance_id,
        to=body.to,
        mapping=body.mapping,
        **_told(caller, key, body),
    )
    return await decide(site, command)


@router.post(
    "/fork", operation_id="forkInstance", response_model=Decision, status_code=201
)
async def fork_instance(
    site: SiteOfRequest, instance_id: InstanceId, body: ForkBody, key: IdempotencyKey
) -> ApiResponse:
    """Begin a new instance with the history of another one, up to an event."""
    command = ForkWorkflow(
        instance_id=body.new_id,
        command_id=command_id_of(body, key),
        source_instance_id=instance_id,
        source_sequence=body.at,
    )
    return await decide(site, command, new=True)


class _Told(TypedDict):
    """What every command that takes a reason is told by its request."""

    command_id: str
    reason: str | None
    requested_by: str | None


def _told(caller: Caller, key: str | None, body: ReasonBody | None) -> _Told:
    return _Told(
        command_id=command_id_of(body, key),
        reason=None if body is None else body.reason,
        requested_by=requester_of(body, caller),
    )

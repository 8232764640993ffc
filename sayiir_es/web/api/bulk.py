"""One command for every instance that matches; a dry run counts them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from sayiir_es.client.bulk import bulk_search, find_ids, send_to_all
from sayiir_es.client.commands import new_command_id
from sayiir_es.client.search import count_by_group
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import (
    CommandRefusedError,
    InvalidRequestError,
    WorkflowError,
)
from sayiir_es.web.api.deciding import given_command_id, requester_of
from sayiir_es.web.api.requests import (
    BulkBody,
    BulkMigrateBody,
    BulkReasonBody,
    BulkSignalBody,
)
from sayiir_es.web.api.responses import ApiResponse, BulkOutcome
from sayiir_es.web.api.values import IdempotencyKey
from sayiir_es.web.site import CallerOfRequest, Site, SiteOfRequest

if TYPE_CHECKING:
    from collections.abc import Callable

router = APIRouter(prefix="/bulk", tags=["bulk"])

ERRORS_MAX = 100


@router.post("/cancel", operation_id="cancelMany", response_model=BulkOutcome)
async def cancel_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Cancel all that match; without a status, those that have not ended."""
    return await _control(site, caller, body, CancelWorkflow, key)


@router.post("/pause", operation_id="pauseMany", response_model=BulkOutcome)
async def pause_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Pause all that match; without a status, those that go on."""
    return await _control(site, caller, body, PauseWorkflow, key)


@router.post("/unpause", operation_id="unpauseMany", response_model=BulkOutcome)
async def unpause_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Let all that match go on; without a status, the paused ones."""
    return await _control(site, caller, body, UnpauseWorkflow, key)


@router.post("/retry", operation_id="retryMany", response_model=BulkOutcome)
async def retry_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Retry all that match; without a status, the failed and quarantined ones."""
    return await _control(site, caller, body, RetryWorkflow, key)


@router.post("/migrate", operation_id="migrateMany", response_model=BulkOutcome)
async def migrate_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkMigrateBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Migrate all that match; without a status, those that have not ended."""
    new_id = _command_ids(given_command_id(body, key))

    def make(instance_id: str) -> Command:
        return MigrateWorkflow(
            instance_id=instance_id,
            command_id=new_id(),
            to=body.to,
            mapping=body.mapping,
            reason=body.reason,
            requested_by=requester_of(body, caller),
        )

    return await _send(site, body, MigrateWorkflow, make)


@router.post("/signals", operation_id="signalMany", response_model=BulkOutcome)
async def signal_many(
    site: SiteOfRequest, body: BulkSignalBody, key: IdempotencyKey
) -> ApiResponse:
    """Send a signal to all that match; without a status, those not ended."""
    payload = site.session.payloads.encode(body.payload)
    new_id = _command_ids(given_command_id(body, key))

    def make(instance_id: str) -> Command:
        return SendSignal(
            instance_id=instance_id,
            command_id=new_id(),
            signal=body.name,
            payload=payload,
            signal_id=body.signal_id,
        )

    return await _send(site, body, SendSignal, make)


async def _control(
    site: Site,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    kind: type[CancelWorkflow | PauseWorkflow | UnpauseWorkflow | RetryWorkflow],
    key: str | None,
) -> ApiResponse:
    new_id = _command_ids(given_command_id(body, key))

    def make(instance_id: str) -> Command:
        return kind(
            instance_id=instance_id,
            command_id=new_id(),
            reason=body.reason,
            requested_by=requester_of(body, caller),
        )

    return await _send(site, body, kind, make)


def _command_ids(given: str | None) -> Callable[[], str]:
    """The id of each instance's command: an instance takes one of an id once."""
    return new_command_id if given is None else lambda: given


async def _send(
    site: Site,
    body: BulkBody,
    kind: type[Command],
    make_command: Callable[[str], Command],
) -> ApiResponse:
    session = site.session
    try:
        search = bulk_search(body.criteria.criteria(), kind)
    except ValueError as error:
        raise InvalidRequestError(f"criteria: {error}") from error
    matched = (await count_by_group(session, search, "all")).total()
    if body.dry_run:
        return ApiResponse(_outcome(site, matched, 0, []))
    if matched <= body.limit:
        instance_ids = await find_ids(session, search)
        matched = len(instance_ids)
    else:
        instance_ids = []
    if matched > body.limit:
        raise InvalidRequestError(
            f"expected at most {body.limit} instances that match, as limit says, but "
            f"{matched}: nothing was sent"
        )
    result = await send_to_all(session, instance_ids, make_command)
    errors = list(result.errors.items())
    return ApiResponse(_outcome(site, matched, result.done, errors))


def _outcome(
    site: Site, matched: int, done: int, errors: list[tuple[str, WorkflowError]]
) -> dict[str, object]:
    return {
        "matched": matched,
        "done": done,
        "failed": len(errors),
        "errors": [
            {
                "instance_id": instance_id,
                "code": error.code,
                "rejection": error.rejection
                if isinstance(error, CommandRefusedError)
                else None,
                "detail": site.masking.text(str(error)),
            }
            for instance_id, error in errors[:ERRORS_MAX]
        ],
    }

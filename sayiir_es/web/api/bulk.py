"""One command for every instance that matches; a dry run counts them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from sayiir_es.core.model.errors import (
    CommandRefusedError,
    InvalidRequestError,
    WorkflowError,
)
from sayiir_es.operations.bulk_control import BulkControl
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
    from collections.abc import Sequence

    from sayiir_es.operations.bulk_control import ControlName

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
    return await _control(site, caller, body, "cancel", key)


@router.post("/pause", operation_id="pauseMany", response_model=BulkOutcome)
async def pause_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Pause all that match; without a status, those that go on."""
    return await _control(site, caller, body, "pause", key)


@router.post("/unpause", operation_id="unpauseMany", response_model=BulkOutcome)
async def unpause_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Let all that match go on; without a status, the paused ones."""
    return await _control(site, caller, body, "unpause", key)


@router.post("/retry", operation_id="retryMany", response_model=BulkOutcome)
async def retry_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Retry all that match; without a status, the failed and quarantined ones."""
    return await _control(site, caller, body, "retry", key)


@router.post("/migrate", operation_id="migrateMany", response_model=BulkOutcome)
async def migrate_many(
    site: SiteOfRequest,
    caller: CallerOfRequest,
    body: BulkMigrateBody,
    key: IdempotencyKey,
) -> ApiResponse:
    """Migrate all that match; without a status, those that have not ended."""
    control = BulkControl(
        name="migrate",
        reason=body.reason,
        requested_by=requester_of(body, caller),
        to=body.to,
        mapping=body.mapping,
        command_id=given_command_id(body, key),
    )
    return await _send(site, body, control)


@router.post("/signals", operation_id="signalMany", response_model=BulkOutcome)
async def signal_many(
    site: SiteOfRequest, body: BulkSignalBody, key: IdempotencyKey
) -> ApiResponse:
    """Send a signal to all that match; without a status, those not ended."""
    control = BulkControl(
        name="signal",
        signal=body.name,
        payload=site.session.payloads.encode(body.payload),
        signal_id=body.signal_id,
        command_id=given_command_id(body, key),
    )
    return await _send(site, body, control)


async def _control(
    site: Site,
    caller: CallerOfRequest,
    body: BulkReasonBody,
    name: ControlName,
    key: str | None,
) -> ApiResponse:
    control = BulkControl(
        name=name,
        reason=body.reason,
        requested_by=requester_of(body, caller),
        command_id=given_command_id(body, key),
    )
    return await _send(site, body, control)


async def _send(site: Site, body: BulkBody, control: BulkControl) -> ApiResponse:
    session = site.session
    try:
        search = control.search_by(body.criteria.criteria())
    except ValueError as error:
        raise InvalidRequestError(f"criteria: {error}") from error
    matched = await control.count(session, search)
    if body.dry_run:
        return ApiResponse(_outcome(site, matched, 0, []))
    instance_ids: Sequence[str] = ()
    if matched <= body.limit:
        instance_ids = await control.find(session, search)
        matched = len(instance_ids)
    if matched > body.limit:
        raise InvalidRequestError(
            f"expected at most {body.limit} instances that match, as limit says, but "
            f"{matched}: nothing was sent"
        )
    result = await control.do(session, instance_ids)
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

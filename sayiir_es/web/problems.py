"""Errors as `application/problem+json` (RFC 9457), with the codes of all our errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NotRequired

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from sayiir_es.core.model.errors import (
    AccessRefusedError,
    BackendError,
    BatchTooLargeError,
    CommandRefusedError,
    DecodeError,
    DeserializationError,
    EncodeError,
    ForbiddenError,
    HistoryError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    InvalidRequestError,
    LogRefusedError,
    MethodNotAllowedError,
    NotFoundError,
    OffsetGoneError,
    QueueFullError,
    RequestTooLargeError,
    StoreError,
    UnauthorizedError,
    UnsafeLogError,
    UsageError,
    WorkflowError,
)
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NotRequired

    from sayiir_es.web.masking import Masking

PROBLEM = "application/problem+json"

_UNAUTHORIZED = HTTPStatus.UNAUTHORIZED

_STATUSES: tuple[tuple[type[WorkflowError], HTTPStatus], ...] = (
    (UnauthorizedError, HTTPStatus.UNAUTHORIZED),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (InstanceNotFoundError, HTTPStatus.NOT_FOUND),
    (MethodNotAllowedError, HTTPStatus.METHOD_NOT_ALLOWED),
    (InstanceAlreadyExistsError, HTTPStatus.CONFLICT),
    (QueueFullError, HTTPStatus.TOO_MANY_REQUESTS),
    (RequestTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (BatchTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidRequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (EncodeError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (DecodeError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (DeserializationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    # What a person must mend on the log: trying again does not help.
    (AccessRefusedError, HTTPStatus.BAD_GATEWAY),
    (LogRefusedError, HTTPStatus.BAD_GATEWAY),
    (HistoryError, HTTPStatus.BAD_GATEWAY),
    (OffsetGoneError, HTTPStatus.BAD_GATEWAY),
    (UnsafeLogError, HTTPStatus.BAD_GATEWAY),
    (BackendError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first class that fits counts."""

_OF_REJECTION = {
    "not_found": HTTPStatus.NOT_FOUND,
    "unknown_workflow": HTTPStatus.NOT_FOUND,
    "bad_request": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Of a command that its owner refused: any other is a conflict with what is there."""

_OF_STATUS: Mapping[int, type[WorkflowError]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    413: RequestTooLargeError,
}
"""The error that a response of the framework stands for."""


class Problem(TypedDict):
    """What went wrong, as data.

    Attributes:
        type: The page that explains the code.
        title: The code as words.
        status: That of the response.
        detail: What was expected, and what was seen.
        code: Stable; the same as on the command line and in logs.
        retriable: Whether trying again can help.
        rejection: Why an owner refused a command; another stable code.
        errors: Of a request that is not what its address takes: each place and what is
            wrong there.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    retriable: bool
    rejection: NotRequired[str]
    errors: NotRequired[list[dict[str, str]]]


def status_of(error: WorkflowError) -> int:
    """The status of a response that an error ended."""
    if isinstance(error, CommandRefusedError):
        return _OF_REJECTION.get(error.rejection, HTTPStatus.CONFLICT)
    if type(error) is WorkflowError:  # what a client says of an id, or of a name
        return HTTPStatus.UNPROCESSABLE_ENTITY
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_of(error: WorkflowError, masking: Masking) -> Problem:
    """An error as data; what users wrote in it is masked."""
    problem = Problem(
        type=f"/errors/{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=int(status_of(error)),
        detail=visible(masking.text(str(error))),
        code=error.code,
        retriable=error.retriable,
    )
    if isinstance(error, CommandRefusedError):
        problem["rejection"] = error.rejection
    return problem


def problem_response(
    problem: Problem, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response to a request that an error ended."""
    fields = dict(headers or {})
    if problem["status"] == _UNAUTHORIZED:
        fields["www-authenticate"] = "Bearer"
    return JSONResponse(problem, problem["status"], headers=fields, media_type=PROBLEM)


def error_of_framework(error: HTTPException) -> WorkflowError:
    """Our error for one that the framework raised."""
    kind = _OF_STATUS.get(error.status_code, InvalidRequestError)
    detail = str(error.detail)
    if kind is NotFoundError:
        detail = "expected an address of this server, but there is none of that path"
    elif kind is MethodNotAllowedError:
        allowed = (error.headers or {}).get("Allow", "another one")
        detail = f"expected the method {allowed}, but the request has another one"
    return kind(detail)

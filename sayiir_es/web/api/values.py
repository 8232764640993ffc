"""Parts of requests: ids, names, durations and ways to give them, each checked once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, Field

from sayiir_es.client.limits import checked_id
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.errors import InvalidRequestError
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.status.limit_report import LimitOf

WAIT_S_MAX = 300.0
"""How long a request may wait: proxies give up on longer ones."""

_ID_SEGMENT = 4  # of /api/v1/instances/{instance_id}
_KEY_SEGMENT = 4  # of /api/v1/limits/{key}
_TASK_SEGMENT = 6  # of /api/v1/instances/{instance_id}/tasks/{task_id}


def checked_text(text: str) -> str:
    """A text that the log can carry.

    Raises:
        ValueError: if it holds half of a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected text in UTF-8, but half of a character") from error
    return text


def checked_name(text: str) -> str:
    """An id or a name that an owner takes.

    Raises:
        ValueError: if it is empty or too long.
    """
    size = len(checked_text(text).encode())
    if not 0 < size <= DEFAULT_LIMITS.id_bytes:
        raise ValueError(f"expected 1 to {DEFAULT_LIMITS.id_bytes} bytes, but {size}")
    return text


Name = Annotated[str, Field(min_length=1), AfterValidator(checked_name)]
Text = Annotated[
    str, Field(max_length=DEFAULT_LIMITS.error_bytes), AfterValidator(checked_text)
]


def _instance_id_of(
    request: Request,
    instance_id: Annotated[  # noqa: ARG001 (in the document; read as it was sent)
        str, Path(description="The id; what is no letter or digit percent-encoded.")
    ],
) -> str:
    return _segment_of(request, _ID_SEGMENT, "instance_id")


def _task_id_of(
    request: Request,
    task_id: Annotated[  # noqa: ARG001 (as above)
        str, Path(description="The id of a task, or its path, percent-encoded.")
    ],
) -> str:
    return _segment_of(request, _TASK_SEGMENT, "task_id")


def _limit_id_of(
    request: Request,
    key: Annotated[  # noqa: ARG001 (as above)
        str,
        Path(
            description="The key, as tasks make it, percent-encoded; of a start queue "
            "the workflow's name, and behind a `/` what its `queue_key` makes."
        ),
    ],
    of: Annotated[
        LimitOf, Query(description="What it counts: attempts, or runs (start queues).")
    ] = "attempts",
) -> str:
    text = _segment_of(request, _KEY_SEGMENT, "key")
    try:
        return checked_id(text, of)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error


def _segment_of(request: Request, index: int, name: str) -> str:
    """A part of the path as it was sent: a `%2F` in it is no slash between parts."""
    raw: bytes = request.scope["raw_path"]
    text = unquote(raw.decode("latin-1").split("/")[index], errors="surrogateescape")
    try:
        return checked_name(text)
    except ValueError as error:
        raise InvalidRequestError(f"{name}: {error}") from error


InstanceId = Annotated[str, Depends(_instance_id_of)]
LimitId = Annotated[str, Depends(_limit_id_of)]
TaskId = Annotated[str, Depends(_task_id_of)]


def _wait_of(
    wait: Annotated[
        str | None,
        Query(
            description="How long to wait for the end, such as `30s` or `2m`; at most "
            f"{WAIT_S_MAX:g} s. One that goes on is answered with 202.",
            examples=["30s"],
            max_length=20,
        ),
    ] = None,
) -> float | None:
    if wait is None:
        return None
    try:
        seconds = duration_ms(wait) / 1000
    except ValueError:
        try:
            seconds = duration_ms(float(wait)) / 1000
        except ValueError as error:
            raise InvalidRequestError(
                f"wait: expected a duration such as 30s, but {wait!r}"
            ) from error
    if seconds > WAIT_S_MAX:
        raise InvalidRequestError(
            f"wait: expected at most {WAIT_S_MAX:g} s, but {seconds:g} s"
        )
    return seconds


Wait = Annotated[float | None, Depends(_wait_of)]


def _key_of(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="The same as `command_id` in the body: a second request with "
            "it changes nothing.",
        ),
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    try:
        return checked_name(idempotency_key)
    except ValueError as error:
        raise InvalidRequestError(f"Idempotency-Key: {error}") from error


IdempotencyKey = Annotated[str | None, Depends(_key_of)]

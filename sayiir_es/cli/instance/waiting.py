"""The option `--timeout` of the verbs that `--wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.failures import UNAVAILABLE
from sayiir_es.cli.output import print_message
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from sayiir_es.core.status.status import Status

TimeoutOption = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="30s", help="How long --wait waits; exit code 5 then."
    ),
]


def timeout_seconds(timeout: str | None, *, wait: bool) -> float | None:
    """How long to wait, in seconds; None without end.

    Raises:
        UsageError: if it is no duration, or nothing is waited for.
    """
    if timeout is None:
        return None
    if not wait:
        raise UsageError("expected --wait with --timeout, but --timeout alone")
    try:
        return duration_ms(timeout) / 1000
    except ValueError as error:
        raise UsageError(f"for --timeout: {error}") from error


def not_ended(status: Status, timeout: str | None) -> int:
    """Say that an instance has not ended in time; the exit code."""
    print_message(f"expected {status.instance_id} to end within {timeout}; it goes on")
    return UNAVAILABLE

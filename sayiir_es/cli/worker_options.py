"""Options of a worker: times as seconds, 45s or 2m; functions as MODULE:NAME."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.core.duration import duration_ms
from sayiir_es.core.memory_size import parse_memory_size
from sayiir_es.core.model.errors import UsageError

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend

TagsOption = Annotated[
    str | None,
    typer.Option(
        "--tags",
        metavar="TAG[,TAG…]",
        help="Run only tasks whose tags are all among these.",
    ),
]

SlotsOption = Annotated[
    int,
    typer.Option("--max-concurrent-tasks", min=1, help="Attempts that run at a time."),
]

DEFAULT_SLOTS = 64
"""The client's number for a worker, whose module is slow to import."""

DrainOption = Annotated[
    str | None,
    typer.Option(
        "--drain",
        metavar="TIME",
        help="How long it waits for attempts when it ends; SAYIIR_DRAIN, or 10s.",
    ),
]
HandoverOption = Annotated[
    str | None,
    typer.Option(
        "--handover",
        metavar="TIME",
        help="How long attempts may run on whose partition another worker is to "
        "own; SAYIIR_HANDOVER, or 30s.",
    ),
]
CancelGraceOption = Annotated[
    str | None,
    typer.Option(
        "--cancel-grace",
        metavar="TIME",
        help="How long an attempt may run on behind a cancel; SAYIIR_CANCEL_GRACE, "
        "or 10s.",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        help='At most so many processes run tasks with executor="process"; '
        "SAYIIR_PROCESSES, or one for each core.",
    ),
]
ProcessMemoryOption = Annotated[
    str | None,
    typer.Option(
        "--process-memory",
        metavar="SIZE",
        help="How much memory each of them may have whose task says nothing, such as "
        "512MB; SAYIIR_PROCESS_MEMORY, or any amount.",
    ),
]
SessionTimeoutOption = Annotated[
    str | None,
    typer.Option(
        "--session-timeout",
        metavar="TIME",
        help="Kafka: behind how long a silence its partitions are given to others; "
        "SAYIIR_SESSION_TIMEOUT, or 6s.",
    ),
]
GroupInstanceIdOption = Annotated[
    str | None,
    typer.Option(
        "--group-instance-id",
        metavar="NAME",
        help="Kafka: killed and started again within its session, a worker of this "
        "name has its partitions back at once; SAYIIR_GROUP_INSTANCE_ID.",
    ),
]
HeartbeatIntervalOption = Annotated[
    str | None,
    typer.Option(
        "--heartbeat-interval",
        metavar="TIME",
        help="Kafka: SAYIIR_HEARTBEAT_INTERVAL, or 1s.",
    ),
]
OnStartupOption = Annotated[
    str | None,
    typer.Option(
        "--on-startup",
        metavar="MODULE:NAME",
        help="A function, sync or async, that gives resources by name, which tasks "
        "name by keyword-only parameters.",
    ),
]
OnShutdownOption = Annotated[
    str | None,
    typer.Option(
        "--on-shutdown",
        metavar="MODULE:NAME",
        help="A function that is given these resources behind the last task.",
    ),
]
HttpOption = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Answer /health/live, /health/ready and /metrics there; beyond this "
        "machine only with a token, as `serve`.",
    ),
]
ReloadOption = Annotated[
    bool,
    typer.Option(
        "--reload",
        help="For development: drain and begin again when a file of the modules, or "
        "of their packages, changes.",
    ),
]
UntilClosedOption = Annotated[int | None, typer.Option("--until-closed", hidden=True)]
"""A pipe: when its other end is closed, the worker drains and ends."""


def bytes_of(option: str, text: str | None) -> int | None:
    """How many bytes an option says; a number of them, or a text such as 512MB.

    Raises:
        UsageError: if it is neither.
    """
    if text is None:
        return None
    try:
        size = int(text) if text.strip().isdigit() else text
        return parse_memory_size(size, what="memory")
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def seconds_of(option: str, text: str | None) -> float | None:
    """How many seconds an option says; a number of them, or a text such as 45s.

    Raises:
        UsageError: if it is neither.
    """
    if text is None:
        return None
    is_number = text.strip().replace(".", "", 1).isdigit()
    try:
        return duration_ms(float(text) if is_number else text) / 1000
    except ValueError as error:
        raise UsageError(
            f"{option}: expected seconds, or a text such as 45s or 2m, but {text!r}"
        ) from error


def refuse_memory(backend: Backend) -> None:
    """Refuse a log that only this process reaches.

    Raises:
        UsageError: if it is one.
    """
    if backend.url == "memory:":
        raise UsageError(
            "expected a log that others reach, but memory: is this process's"
        )


def tags_of(text: str) -> frozenset[str]:
    """The tags of a list with commas between."""
    return frozenset(tag.strip() for tag in text.split(",") if tag.strip())

"""Names of what is logged and measured, and how log lines are written.

Theory of operation. Our modules log with structlog, libraries with the standard
library; both end in one handler on one stream. By default that is stderr, because
stdout is for data. In a terminal a line is text for people, elsewhere one JSON object.

Ids, names and messages of exceptions come from a topic that anybody may write to. A
terminal would execute the control characters in them, and a newline would look like a
new line of the log. So every character that is not printable is written as its escape.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

    from sayiir_es.settings import LogFormat, LogLevel

# --- the keys of data, the same in logs, spans and metrics ----------------------------

INSTANCE_ID: Final = "instance_id"
WORKFLOW: Final = "workflow"
TASK_ID: Final = "task_id"
ATTEMPT: Final = "attempt"
TOPIC: Final = "topic"
PARTITION: Final = "partition"
OFFSET: Final = "offset"
DURATION_MS: Final = "duration_ms"
ERROR_CODE: Final = "error_code"
"""The `code` of one of our errors, `bug` for anything else."""
REASON: Final = "reason"
"""A sentence for people: the message of an error."""
APP: Final = "app"
WORKER: Final = "worker"
CLAIMS: Final = "claims"
"""How many claims one owner made within a minute."""
SETTING: Final = "setting"
"""A sentence that says what to set on the broker."""
ABANDONED: Final = "abandoned"
"""How many threads still run the code of attempts that were timed out."""
RUNNING: Final = "running"
"""How many attempts ran on when the time that they were given was over."""
TAKEN_OVER: Final = "taken_over"
"""Whether the claim displaced another process's."""

KEYS: Final = frozenset(
    {
        *(INSTANCE_ID, WORKFLOW, TASK_ID, ATTEMPT, TOPIC, PARTITION, OFFSET),
        *(DURATION_MS, ERROR_CODE, REASON),
        *(APP, WORKER, CLAIMS, SETTING, TAKEN_OVER, ABANDONED, RUNNING),
    }
)
"""Every key under which a log line of ours may carry data."""

# --- what a line looks like -----------------------------------------------------------

_TRACEBACK = "exception"  # where structlog puts the text of a traceback


def escaped(text: str) -> str:
    r"""Return `text` with escapes for what is not printable: ``\x1b``, ``\n``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def _escape_for_terminal(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    for key, value in line.items():
        if not isinstance(value, str):
            continue  # the renderer shows its repr, which is escaped
        if key == _TRACEBACK:
            # It has several lines; the indent shows that they belong to this one.
            rows = value.split("\n")
            line[key] = "\n".join(f"  {escaped(row)}" for row in rows)
        else:
            line[key] = escaped(value)
    return line


def _to_json(
    line: EventDict, *, default: Callable[[object], object] | None = None
) -> str:
    text = json.dumps(line, default=default)
    return text.replace("\x7f", "\\u007f")  # the only one that JSON does not escape


def configure_logging_if_nobody_did() -> None:
    """Log warnings and errors to stderr, unless the program has configured structlog.

    For the use as a library.
    """
    import structlog  # noqa: PLC0415 (slow to import)

    if not structlog.is_configured():
        configure_logging(level="warning")


def configure_logging(
    *,
    level: LogLevel = "info",
    format: LogFormat | None = None,  # noqa: A002 - the word of SAYIIR_LOG_FORMAT
    stream: TextIO | None = None,
) -> None:
    """Write every log line of this process to `stream` from now on.

    Args:
        level: the lowest level that is written.
        format: `console` or `json`; by default `console` when `stream` is a terminal.
        stream: stderr by default.
    """
    # Slow to import, and the names above are wanted without it.
    import structlog  # noqa: PLC0415
    from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415
    from structlog.stdlib import ProcessorFormatter  # noqa: PLC0415

    target = sys.stderr if stream is None else stream
    log_format = format or ("console" if target.isatty() else "json")
    level_number = logging.getLevelNamesMapping()[level.upper()]
    shared_processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    if log_format == "console":
        coloured = target.isatty() and not os.environ.get("NO_COLOR")
        console = ConsoleRenderer(colors=coloured, exception_formatter=plain_traceback)
        rendering += [_escape_for_terminal, console]
    else:
        rendering.append(structlog.processors.JSONRenderer(_to_json))
    formatter = ProcessorFormatter(
        foreign_pre_chain=shared_processors, processors=rendering
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level_number, handlers=[handler], force=True)
    structlog.configure(
        processors=[*shared_processors, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # so that a second call counts
    )

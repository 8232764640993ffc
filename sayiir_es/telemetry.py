"""Names of what is logged and measured, and how log lines are written.

Theory of operation. Our modules log to loggers of the standard library named as they
are, and change nothing else of it: handlers and levels are the program's. The data of a
line stands in its text and, by the names below, in the attributes of its `LogRecord`.
What `structlog` is configured to do is the program's too; ours is a logger that does
not look at it.

Only our command line configures logging (`configure_logging`): all lines end in one
handler on one stream. By default that is stderr, because stdout is for data. In a
terminal a line is text for people, elsewhere one JSON object.

Ids, names and messages of exceptions come from a topic that anybody may write to. A
terminal would execute the control characters in them, and a newline would look like a
new line of the log. So every character that is not printable is written as its escape.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.stdlib import BoundLogger
    from structlog.typing import EventDict, Processor, WrappedLogger

    from sayiir_es.settings import LogFormat, LogLevel

# --- the keys of data, the same in logs, spans and metrics ----------------------------

INSTANCE_ID: Final = "instance_id"
WORKFLOW: Final = "workflow"
TASK_ID: Final = "task_id"
ATTEMPT: Final = "attempt"
PATH: Final = "path"
"""Of a node in its graph: the ids from the outermost node on, joined by `/`."""
TOPIC: Final = "topic"
PARTITION: Final = "partition"
OFFSET: Final = "offset"
DURATION_MS: Final = "duration_ms"
ERROR_CODE: Final = "error_code"
"""The `code` of one of our errors, `bug` for anything else."""
ERROR_TYPE: Final = "error_type"
"""The class of an exception with its module, or a word such as `timeout`."""
SOURCE_LINE: Final = "source_line"
"""The innermost line of the user's code: `FILE:LINE in FUNCTION`."""
NEXT_RETRY_AT: Final = "next_retry_at"
"""When the next attempt is due: ISO-8601, UTC."""
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
INSTANCES: Final = "instances"
PARTITIONS: Final = "partitions"
"""Numbers: of instances how many, of partitions which."""
TAKEN_OVER: Final = "taken_over"
"""Whether the claim displaced another process's."""

TRACE_ID: Final = "trace_id"
SPAN_ID: Final = "span_id"
"""Of the span that is current where a line is written, in hex."""

KEYS: Final = frozenset(
    {
        *(INSTANCE_ID, WORKFLOW, TASK_ID, ATTEMPT, TOPIC, PARTITION, OFFSET),
        *(DURATION_MS, ERROR_CODE, REASON, PATH, ERROR_TYPE, SOURCE_LINE),
        NEXT_RETRY_AT,
        *(APP, WORKER, CLAIMS, SETTING, TAKEN_OVER, ABANDONED, RUNNING),
        *(INSTANCES, PARTITIONS),
        *(TRACE_ID, SPAN_ID),
    }
)
"""Every key under which a log line of ours may carry data."""

# --- what spans say: attributes by the messaging conventions, and our own -------------

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_PARTITION: Final = "messaging.destination.partition.id"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_CONSUMER_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
"""The id of a command."""
MESSAGING_BATCH_COUNT: Final = "messaging.batch.message_count"
MESSAGING_OFFSET: Final = "messaging.kafka.offset"
"""The conventions have renamed it twice, and will again: here only."""
SPAN_INSTANCE_ID: Final = "sayiir.instance.id"
SPAN_WORKFLOW: Final = "sayiir.workflow.name"
SPAN_RUN: Final = "sayiir.run"
SPAN_TASK_ID: Final = "sayiir.task.id"
SPAN_ATTEMPT: Final = "sayiir.task.attempt"
SPAN_PATH: Final = "sayiir.task.path"
SPAN_COMMAND: Final = "sayiir.command"
"""The kind of a command."""
SPAN_DECISION: Final = "sayiir.decision"
"""The kind of the first event of a decision."""

# --- what a line looks like -----------------------------------------------------------

_TRACEBACK = "exception"  # where structlog puts the text of a traceback
_EVENT = "event"  # where structlog puts the name of a line
_ABOUT_THE_CALL = ("exc_info", "stack_info")
_STACK_LEVEL = 4  # so many calls lie between ours and the standard library


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


def _take_data(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Give a line of ours its name and its data instead of its text."""
    record = line.get("_record")
    name = getattr(record, _EVENT, None)
    if isinstance(record, logging.LogRecord) and is_ours(record) and name is not None:
        keys = KEYS | {_TRACEBACK}
        data = {key: value for key, value in vars(record).items() if key in keys}
        line.update(data, event=name)
    return line


def _add_trace(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Give a line the ids of the current span, where OpenTelemetry is in use."""
    get_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_span is None:
        return line
    span = get_span().get_span_context()
    if span.is_valid:
        line.setdefault(TRACE_ID, f"{span.trace_id:032x}")
        line.setdefault(SPAN_ID, f"{span.span_id:016x}")
    return line


def is_ours(record: logging.LogRecord) -> bool:
    """Whether a module of this package wrote a record."""
    return record.name.partition(".")[0] == "sayiir_es"


def _to_json(
    line: EventDict, *, default: Callable[[object], object] | None = None
) -> str:
    text = json.dumps(line, default=default)
    return text.replace("\x7f", "\\u007f")  # the only one that JSON does not escape


def get_logger(name: str) -> BoundLogger:
    """The logger of a module, whose lines have data: `logger.info("x.made", app=app)`.

    It writes to the standard library's logger of that name, whatever `structlog` is
    configured to do.
    """
    import structlog  # noqa: PLC0415 (slow to import)

    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _add_trace, _to_log_call],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def _to_log_call(
    logger: logging.Logger, _: str, line: EventDict
) -> tuple[tuple[str], dict[str, Any]]:
    """The arguments of the standard library's call."""
    about_the_call = {name: line.pop(name) for name in _ABOUT_THE_CALL if name in line}
    data = "".join(f" {name}={value!r}" for name, value in line.items() if name in KEYS)
    text = f"{line[_EVENT]}{data}"
    if _TRACEBACK in line:  # of a task: it stands below, as that of an error does
        text += f"\n{line[_TRACEBACK]}"
    # Where a program logs with structlog to the standard library, the class of loggers
    # made since then leaves structlog's frames out by itself.
    is_plain = type(logger).findCaller is logging.Logger.findCaller
    level = _STACK_LEVEL if is_plain else 1
    return (text,), {**about_the_call, "extra": line, "stacklevel": level}


class _StreamHandler(logging.StreamHandler[TextIO]):
    """Writes a line, too, of a record that cannot be formatted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (its name)
        """Write the record without its arguments, in the place of a traceback."""
        error = sys.exception()
        if record.args and not isinstance(error, OSError):
            record.msg = f"{record.msg!s} (not formatted: {error!r})"
            record.args = ()
            self.emit(record)


class _Logging:
    """Whether this process logs as our own programs do."""

    is_configured = False


def is_logging_configured() -> bool:
    """Whether `configure_logging` was called in this process."""
    return _Logging.is_configured


def configure_structlog(level: int) -> None:
    """Let structlog's loggers write to those of the standard library.

    As `configure_logging` does it, for a process whose lines another one formats. Each
    record has its mapping as its message, and its traceback as a text in there.
    """
    import structlog  # noqa: PLC0415 (slow to import)

    wrap: Any = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            wrap,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def configure_logging(
    *,
    level: LogLevel = "info",
    format: LogFormat | None = None,  # noqa: A002 - the word of SAYIIR_LOG_FORMAT
    stream: TextIO | None = None,
) -> None:
    """Write every log line of this process to `stream` from now on.

    For a process that is ours: the command line, a benchmark.

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
        _take_data,
        _add_trace,
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
    handler = _StreamHandler(target)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level_number, handlers=[handler], force=True)
    _Logging.is_configured = True
    structlog.configure(
        processors=[*shared_processors, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level_number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # so that a second call counts
    )

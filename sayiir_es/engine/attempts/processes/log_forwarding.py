"""Log lines of the processes of tasks are written by their worker.

Theory of operation. A process sends each record of its root logger as data: where it
was written, its text with its traceback, and what structlog has bound, the ids of the
attempt among it. The worker makes a record of that again and gives it to the logger of
the same name, with the same variables bound: so handlers, formats and filters are the
worker's, and a line looks as that of a task in a thread. Only levels are looked at in
the process, which are the worker's too, so that nothing is sent that nobody reads.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final, cast

from structlog.contextvars import bind_contextvars, get_contextvars

from sayiir_es.core.model.limits import clip
from sayiir_es.engine.attempts.processes.messages import Logged
from sayiir_es.telemetry import configure_structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEXT_BYTES_MAX: Final = 64 * 1024
"""Of one text of a line; its head and tail are kept."""

ITEMS_MAX: Final = 100
"""Of one mapping of a line."""

LEVELS_MAX: Final = 1_000
"""Loggers whose levels a process is told."""

_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "_logger", "_name"}
)


class ForwardingHandler(logging.Handler):
    """Sends each record to the worker; where that is gone, its text goes to stderr."""

    def __init__(self, send: Callable[[Logged], bool]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            message = logged_of(record)
        except Exception:  # noqa: BLE001 (a `__str__` of a user's; logging goes on)
            self.handleError(record)
            return
        if not self._send(message):
            sys.stderr.write(f"{message.message}\n")


def logged_of(record: logging.LogRecord) -> Logged:
    """A record as data."""
    given: object = record.msg
    message: str | dict[str, object]
    if isinstance(given, dict) and hasattr(record, "_name"):
        message = _plain_mapping(cast("dict[object, object]", given))
    else:
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message += "\n" + "".join(traceback.format_exception(record.exc_info[1]))
        elif record.exc_text:
            message += "\n" + record.exc_text
        message = clip(message.rstrip("\n"), TEXT_BYTES_MAX)
    extra = {name: one for name, one in vars(record).items() if name not in _STANDARD}
    return Logged(
        logger=clip(record.name, TEXT_BYTES_MAX),
        level=record.levelno,
        message=message,
        method=str(getattr(record, "_name", "")),
        created_s=record.created,
        file=record.pathname,
        line=record.lineno,
        function=record.funcName or "",
        thread=record.threadName or "",
        data=_plain_mapping(extra),
        variables=_plain_mapping(get_contextvars()),
    )


def write(logged: Logged, process: str) -> None:
    """Write a line of a process, in the worker; `process` is the process's name."""
    logger = logging.getLogger(logged.logger)
    if not logger.isEnabledFor(logged.level):
        return
    record = logger.makeRecord(
        logged.logger,
        logged.level,
        logged.file,
        logged.line,
        logged.message,
        (),
        None,
        logged.function or None,
    )
    record.created, record.threadName = logged.created_s, logged.thread
    record.msecs = logged.created_s % 1 * 1000
    record.processName = process
    for name, value in logged.data.items():
        if name not in _STANDARD:
            setattr(record, name, value)
    if logged.method:  # as structlog itself marks a line for its formatter
        record.__dict__.update(_logger=logger, _name=logged.method)
    variables = contextvars.Context()
    variables.run(bind_contextvars, **logged.variables)
    variables.run(logger.handle, record)


def level_names() -> dict[str, int]:
    """The levels of this process's loggers that have one of their own, by name."""
    loggers = tuple(logging.root.manager.loggerDict.items())
    levels = {
        name: one.level
        for name, one in loggers
        if isinstance(one, logging.Logger) and one.level
    }
    return dict(list(levels.items())[:LEVELS_MAX])


def forward(
    send: Callable[[Logged], bool],
    level: int,
    levels: Mapping[str, int],
    *,
    uses_structlog: bool,
) -> None:
    """Send what this process logs, from these levels on, to the worker."""
    logging.basicConfig(level=level, handlers=[ForwardingHandler(send)], force=True)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)
    if uses_structlog:
        configure_structlog(level)


def _plain_mapping(values: Mapping[Any, object]) -> dict[str, object]:
    return {
        str(name): _plain(value) for name, value in list(values.items())[:ITEMS_MAX]
    }


def _plain(value: object) -> object:
    """A value that any two processes understand; of others, what they look like."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return clip(value if isinstance(value, str) else repr(value), TEXT_BYTES_MAX)

"""What the package logs: lines with their data, whatever the program's logging is."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sayiir_es.telemetry import KEYS

_DATA = KEYS | {"exception"}

if TYPE_CHECKING:
    from collections.abc import Generator

Line = dict[str, Any]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines = list[Line]()

    def emit(self, record: logging.LogRecord) -> None:
        data = {
            key: value
            for key, value in vars(record).items()
            if key in KEYS | {"exception"}
        }
        line = {**data, "log_level": record.levelname.lower()}
        line["event"] = getattr(record, "event", record.getMessage())
        if record.exc_info:
            line["exc_info"] = record.exc_info
        self.lines.append(line)


@contextmanager
def capture_logs() -> Generator[list[Line]]:
    """The lines that our modules log while inside, at any level."""
    logger, handler = logging.getLogger("sayiir_es"), _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def without_logs() -> Generator[None]:
    """Let our modules log nothing while inside."""
    logger = logging.getLogger("sayiir_es")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)

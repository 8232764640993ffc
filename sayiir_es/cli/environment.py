"""The settings of a command from the environment (`SAYIIR_*`), and how it logs.

The class of settings and the library that logs take longer to import than most commands
run. So the settings are read where the environment holds one, and logging is set up
when a backend is opened: nothing else of a command logs.

With `SAYIIR_LOG_FORMAT=json` all of stderr is JSON, an object a line, for a program
that reads it: messages to people, errors and whatever Python would print there, too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from sayiir_es.settings import LogFormat, LogLevel, Settings

_PREFIX = "SAYIIR_"
_FORMAT_VARIABLE = "SAYIIR_LOG_FORMAT"

_PLAIN_BACKEND = re.compile(r"memory:|file:.+|kafka://[\w.:,-]+(/[\w.-]*)?")
"""URLs that need no check; the settings check all others."""

_TALKATIVE_LIBRARIES = ("aiokafka",)
"""They log by `info` what is of use to their authors only."""


def read_settings() -> Settings | None:
    """The settings, or None if the environment sets nothing but a plain backend.

    Raises:
        SettingsError: if some values cannot be used; it names every one of them.
    """
    names = {
        name.upper()
        for name, value in os.environ.items()
        if value and name.upper().startswith(_PREFIX)
    }
    backend = os.environ.get("SAYIIR_BACKEND", "")
    if names <= {"SAYIIR_BACKEND"} and (
        not names or _PLAIN_BACKEND.fullmatch(backend) is not None
    ):
        return None
    from sayiir_es.settings import load_settings  # noqa: PLC0415 (slow to import)

    return load_settings()


def configure_logs(*, serves: bool) -> None:
    """Set up the log lines of this process.

    Args:
        serves: whether the command runs on and logs what it does; others log errors
            only, unless the environment says more.
    """
    level: LogLevel = "info" if serves else "error"
    log_format: LogFormat | None = None
    settings = read_settings()
    if settings is not None:
        log_format = settings.log_format
        if "log_level" in settings.model_fields_set:
            level = settings.log_level
    from sayiir_es.log.kafka.log_filter import OncePerKind  # noqa: PLC0415
    from sayiir_es.telemetry import (  # noqa: PLC0415 (slow to import)
        configure_logging,
    )

    configure_logging(level=level, format=log_format)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerKind())
    if level != "debug":
        for name in _TALKATIVE_LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)


# --- stderr as JSON -------------------------------------------------------------------


def is_json_wanted() -> bool:
    """Whether all of stderr is to be JSON."""
    return any(
        name.upper() == _FORMAT_VARIABLE and value.strip().lower() == "json"
        for name, value in os.environ.items()
    )


def write_json_message(event: str, **fields: str) -> None:
    """Write what a person would be told on stderr, as a line of the log."""
    now = datetime.fromtimestamp(time.time(), UTC)  # noqa: TID251 (a log line's)
    line = {
        **fields,
        "event": event,
        "level": "error" if "error_code" in fields else "info",
        "logger": __name__,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
    }
    sys.stderr.write(json.dumps(line) + "\n")


def keep_stderr_json() -> None:
    """Log what Python would print on stderr: warnings, and errors that nobody caught.

    For a process that is ours from its begin.
    """
    from sayiir_es.telemetry import (  # noqa: PLC0415 (slow to import)
        configure_logging,
        get_logger,
    )

    configure_logging(level="warning", format="json")
    logging.captureWarnings(True)  # noqa: FBT003 (of the library)
    logger = get_logger(__name__)

    def log_crash(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logger.critical("process.crashed", exc_info=(kind, error, trace))

    def log_crash_of_thread(hook: threading.ExceptHookArgs) -> None:
        if hook.exc_type is not SystemExit:
            logger.error(
                "thread.crashed",
                reason=hook.thread.name if hook.thread is not None else "",
                exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
            )

    def log_ignored(hook: sys.UnraisableHookArgs) -> None:
        logger.error(
            "error.ignored",
            reason=f"{hook.err_msg or 'Exception ignored in'}: {hook.object!r}",
            exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback),
        )

    sys.excepthook = log_crash
    threading.excepthook = log_crash_of_thread
    sys.unraisablehook = log_ignored


def user_name() -> str | None:
    """The name of the user whose process this is; None where it has none."""
    import getpass  # noqa: PLC0415 (slow to import)

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without an entry, as in a container
        return None

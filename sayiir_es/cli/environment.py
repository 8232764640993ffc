"""The settings of a command from the environment (`SAYIIR_*`), and how it logs.

The class of settings and the library that logs take longer to import than most commands
run. So the settings are read where the environment holds one, and logging is set up
when a backend is opened: nothing else of a command logs.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.settings import LogFormat, LogLevel, Settings

_PREFIX = "SAYIIR_"

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
    from sayiir_es.telemetry import (  # noqa: PLC0415 (slow to import)
        configure_logging,
    )

    configure_logging(level=level, format=log_format)
    if level != "debug":
        for name in _TALKATIVE_LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)

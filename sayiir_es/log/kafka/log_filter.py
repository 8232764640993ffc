"""Suppresses aiokafka's repeated log lines: one of a kind in ten seconds, with a count.

While a broker is away every client logs each attempt to reach it, thousands of lines
in a short outage. A filter on each of aiokafka's loggers lets the first line of a kind
pass and counts the others; the next line that passes says how many were suppressed.
"""

from __future__ import annotations

import logging
import time

# Long enough to read a log by eye, short enough that an outage stays visible in it.
INTERVAL_S = 10.0


class OncePerKind(logging.Filter):
    """Lets one line of each message template pass per interval."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._kinds: dict[tuple[str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line passes; add the count of those that did not."""
        kind = (record.name, record.msg)
        now_s = time.monotonic()
        last = self._kinds.get(kind)
        if last is not None and now_s - last[0] < self._interval_s:
            self._kinds[kind] = (last[0], last[1] + 1)
            return False
        self._kinds[kind] = (now_s, 0)
        if last is not None and last[1]:
            record.msg = f"{record.msg} (and {last[1]} more like it before)"
        return True


_FILTER = OncePerKind()


def install_filter() -> None:
    """Put the filter on every logger of aiokafka; a second call changes nothing."""
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            # A logger keeps one filter once, however often it is added.
            logging.getLogger(name).addFilter(_FILTER)

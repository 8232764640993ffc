"""Takes passwords out of aiokafka's log lines, and suppresses those that are repeated.

By `debug` aiokafka logs each request as a whole: those that authenticate hold the
password, or what it can be guessed by. They are shown as their name here.

While a broker is away every client logs each attempt to reach it, thousands of lines
in a short outage. A filter lets the first warning of a kind pass and counts the others;
the next line that passes says how many were suppressed. What a cluster answers that has
just begun is shown only if it goes on. It stands on the handler of our command line: in
other programs what aiokafka logs is the program's, but for secrets.
"""

from __future__ import annotations

import logging
import time

# Long enough to read a log by eye, short enough that an outage stays visible in it.
INTERVAL_S = 10.0

PATIENCE_S = 3.0
"""For so long, in seconds, what is tried again at once is not shown."""

TRIED_AGAIN = frozenset({"Group Coordinator Request failed: %s"})
"""A new cluster makes the topic of its groups at the first of these requests, which it
refuses meanwhile."""


class OncePerKind(logging.Filter):
    """Lets one line of each message template of aiokafka pass per interval."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._kinds: dict[tuple[str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line passes; add the count of those that did not."""
        is_ours = record.name.partition(".")[0] != "aiokafka"
        if is_ours or record.levelno < logging.WARNING:
            return True  # who asked for all of aiokafka's lines gets them
        kind = (record.name, record.msg)
        now_s = time.monotonic()
        last = self._kinds.get(kind)
        if last is None and record.msg in TRIED_AGAIN:
            last = (now_s - self._interval_s + PATIENCE_S, 0)
        if last is not None and now_s - last[0] < self._interval_s:
            self._kinds[kind] = (last[0], last[1] + 1)
            return False
        self._kinds[kind] = (now_s, 0)
        if last is not None and last[1]:
            record.msg = f"{record.msg} (and {last[1]} more like it before)"
        return True


class WithoutSecrets(logging.Filter):
    """Shows what belongs to SASL by its name only, in a line and in its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace what is secret among the arguments; every line passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                type(argument).__name__
                if "Sasl" in type(argument).__name__
                else argument
                for argument in record.args
            )
        return True


_WITHOUT_SECRETS = WithoutSecrets()


def hide_secrets() -> None:
    """Let no logger of aiokafka show a secret, in whatever program."""
    for name in list(logging.root.manager.loggerDict):
        if name == "aiokafka" or name.startswith("aiokafka."):
            # A logger keeps one filter once, however often it is added.
            logging.getLogger(name).addFilter(_WITHOUT_SECRETS)

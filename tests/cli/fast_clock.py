"""The command line on a machine whose clock is three hours ahead.

Python's wall clock is moved before anything has read it; the monotonic one goes as
everybody's.
"""

from __future__ import annotations

import time

AHEAD_S = 3 * 3600
_seconds, _nanoseconds = time.time, time.time_ns  # noqa: TID251 (it is the clock here)


def main() -> None:
    """Run a command of the command line."""
    time.time = lambda: _seconds() + AHEAD_S  # noqa: TID251 (same)
    time.time_ns = lambda: _nanoseconds() + AHEAD_S * 10**9
    from sayiir_es.cli.app import (  # noqa: PLC0415 - behind the moved clock
        main as run,
    )

    run()


if __name__ == "__main__":
    main()

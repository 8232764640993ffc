"""A worker on a machine whose clock is two hours ahead: brokers refuse its records.

Run as a program, as `worker_process`. Python's wall clock is moved before anything has
read it; the monotonic one goes as everybody's.
"""

from __future__ import annotations

import asyncio
import time

AHEAD_S = 2 * 3600
_seconds, _nanoseconds = time.time, time.time_ns  # noqa: TID251 (same)


def main() -> None:
    """Be the worker until SIGTERM."""
    time.time = lambda: _seconds() + AHEAD_S  # noqa: TID251 (it is the clock here)
    time.time_ns = lambda: _nanoseconds() + AHEAD_S * 10**9
    from tests.kafka import flows  # noqa: PLC0415 - behind the moved clock
    from tests.kafka.worker_process import arguments, serve  # noqa: PLC0415 - same

    asyncio.run(serve(arguments().parse_args(), flows.ALL))


if __name__ == "__main__":
    main()

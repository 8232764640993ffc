"""Run on until SIGTERM or SIGINT; a second one does not wait for the drain."""

from __future__ import annotations

import asyncio
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def set_stop() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, set_stop)
    return stop


async def first_of(*waits: asyncio.Task[object]) -> None:
    """Return when one has ended; the others are cancelled, an error is raised."""
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    for task in done:
        task.result()

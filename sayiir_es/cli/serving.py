"""Run on until SIGTERM or SIGINT; a second one does not wait for the drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.cli.termination import TERMINATION
from sayiir_es.log.forked_child import leave_loop_at_fork

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets; a second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    leave_loop_at_fork(loop)
    TERMINATION.tell(lambda: loop.call_soon_threadsafe(stop.set))
    return stop


async def unless_stopped(
    stop: asyncio.Event, work: Coroutine[object, object, T]
) -> T | None:
    """The result of a coroutine; None if it was cancelled because of the event."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
    return None if task.cancelled() else task.result()


async def first_of(*waits: asyncio.Task[object]) -> None:
    """Return when one has ended; the others are cancelled, an error is raised."""
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    for task in done:
        task.result()

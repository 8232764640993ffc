"""W4: the worker is killed with 200 workflows in flight, started again, and they end.

Told are the seconds from the new start to the last end, and which effects were lost or
repeated. The standard library alone: it runs in every peer's Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from benchmarks.engine.effects import EFFECT_STEPS, EFFECTS_FILE, effects_in
from benchmarks.peers.cpu import tree_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

WORKFLOWS = 200
KILL_AT = 400
"""Effects, of a thousand; every workflow has had one by then."""

POLLING_S = 0.02
BEGIN_LIMIT_S = 60.0
END_LIMIT_S = 90.0


class Recovering(Protocol):
    """An engine whose worker can be killed and started again."""

    async def begin(self, instance_ids: Sequence[str]) -> None:
        """Start these workflows; each one's input is its id."""
        ...

    def worker_pid(self) -> int:
        """The process that is killed, with all that it started."""
        ...

    async def restart(self) -> None:
        """Start the worker again."""
        ...

    async def wait(self, instance_ids: Sequence[str]) -> None:
        """Wait until all have completed."""
        ...


@contextmanager
def effects_file() -> Generator[str]:
    """A file for the effects of the workers that are started in the block."""
    with tempfile.TemporaryDirectory(prefix="effects-bench-") as folder:
        path = os.environ[EFFECTS_FILE] = f"{folder}/effects"
        yield path


def kill(pid: int) -> None:
    """SIGKILL to a process and all that it started."""
    # Parents first: they must not start a child again, nor clear away behind it.
    for one in tree_of(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


async def measure_recovery(engine: Recovering, path: str) -> None:
    """Kill, restart, wait and print the line.

    Raises:
        RuntimeError: if the workflows had ended, or had not begun, before the kill.
    """
    ids = [f"w4-{number}" for number in range(WORKFLOWS)]
    await engine.begin(ids)
    await _all_have_begun(path)
    kill(engine.worker_pid())
    killed_at = effects_in(path).total()
    if killed_at >= WORKFLOWS * EFFECT_STEPS:
        raise RuntimeError("all had ended before the kill")
    began = time.perf_counter()
    await engine.restart()
    await asyncio.wait_for(engine.wait(ids), END_LIMIT_S)
    seconds = time.perf_counter() - began
    seen = effects_in(path)
    wanted = {(key, step) for key in ids for step in range(EFFECT_STEPS)}
    figures = {
        "recovery_s": seconds,
        "effects_at_kill": killed_at,
        "lost": len(wanted - seen.keys()),
        "repeated": sum(count - 1 for count in seen.values()),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


async def _all_have_begun(path: str) -> None:
    end = time.monotonic() + BEGIN_LIMIT_S
    while True:
        seen = effects_in(path)
        if seen.total() >= KILL_AT and len({key for key, _ in seen}) == WORKFLOWS:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"only {seen.total()} effects in {BEGIN_LIMIT_S} s")
        await asyncio.sleep(POLLING_S)

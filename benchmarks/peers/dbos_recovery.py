"""W4 on DBOS: the process that is killed is the whole application."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from dbos import DBOS, SetWorkflowID, WorkflowHandleAsync

from benchmarks.engine.effects import (
    EFFECT_S,
    EFFECT_STEPS,
    EFFECTS_FILE,
    append_effect,
)
from benchmarks.peers.dbos_database import launch
from benchmarks.peers.recovery import effects_file, measure_recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

POLLING_S = 0.1
_ENDED = b"ended\n"
_MODULE = "benchmarks.peers.dbos_recovery"


@DBOS.step()
async def effect(key: str, number: int) -> int:
    """A step of W4."""
    append_effect(os.environ[EFFECTS_FILE], key, number)
    await asyncio.sleep(EFFECT_S)
    return number


@DBOS.workflow()
async def effects(key: str) -> str:
    """W4."""
    for number in range(EFFECT_STEPS):
        await effect(key, number)
    return key


class DbosRecovery:
    """Starts the application, and starts it again."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._application: subprocess.Popen[bytes] | None = None

    def _start(self, turn: str, instance_ids: Sequence[str] = ()) -> None:
        self._application = subprocess.Popen(  # noqa: S603 (this module)
            [sys.executable, "-m", _MODULE, turn, self._folder, *instance_ids],
            stdout=subprocess.PIPE,
        )

    async def begin(self, instance_ids: Sequence[str]) -> None:
        """Start it; it starts the workflows."""
        self._ids = instance_ids
        self._start("first", instance_ids)

    def worker_pid(self) -> int:
        """The application."""
        assert self._application is not None
        return self._application.pid

    async def restart(self) -> None:
        """Start it on the same database; DBOS goes on with what it finds."""
        assert self._application is not None
        self._application.wait()
        self._start("again", self._ids)

    async def wait(self, instance_ids: Sequence[str]) -> None:
        """It says when it has the result of each of these."""
        assert instance_ids == self._ids
        assert self._application is not None
        assert self._application.stdout is not None
        line = await asyncio.to_thread(self._application.stdout.readline)
        if line != _ENDED:
            raise RuntimeError(f"expected the application to end, but it said {line!r}")
        self._application.wait()


async def application(turn: str, folder: str, instance_ids: Sequence[str]) -> None:
    """Start the workflows, or go on with them, and wait for all."""
    launch(folder)
    if turn == "first":
        for instance_id in instance_ids:
            with SetWorkflowID(instance_id):
                await DBOS.start_workflow_async(effects, instance_id)
    for instance_id in instance_ids:
        handle: WorkflowHandleAsync[str] = await DBOS.retrieve_workflow_async(
            instance_id
        )
        await handle.get_result(polling_interval_sec=POLLING_S)
    sys.stdout.buffer.write(_ENDED)
    sys.stdout.flush()
    DBOS.destroy()


async def measure_dbos() -> None:
    """Measure W4 on a new database."""
    with (
        tempfile.TemporaryDirectory(prefix="dbos-bench-") as folder,
        effects_file() as path,
    ):
        await measure_recovery(DbosRecovery(folder), path)


if __name__ == "__main__":
    asyncio.run(application(sys.argv[1], sys.argv[2], sys.argv[3:]))

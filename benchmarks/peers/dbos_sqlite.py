"""DBOS on SQLite: one process is client, worker and store."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import TYPE_CHECKING

from dbos import DBOS, SetWorkflowID, WorkflowHandleAsync

from benchmarks.peers.dbos_database import launch
from benchmarks.peers.dbos_recovery import measure_dbos
from benchmarks.peers.load import BRANCHES, case_of, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

POLLING_S = 0.05
"""How often DBOS asks its database for a workflow's end, and its default is longer."""

WAIT_LIMIT_S = 300.0

_waiting: set[str] = set()


@DBOS.step()
async def add_one(value: int) -> int:
    """A step that does nothing else."""
    return value + 1


@DBOS.step()
async def total(values: list[int]) -> int:
    """The join."""
    return sum(values)


@DBOS.workflow()
async def chain(value: int) -> int:
    """W1."""
    for _ in range(5):
        value = await add_one(value)
    return value


@DBOS.workflow()
async def fan_out(value: int) -> int:
    """W2."""
    return await total(
        list(await asyncio.gather(*(add_one(value) for _ in range(BRANCHES))))
    )


@DBOS.workflow()
async def signalled(instance_id: str) -> int:
    """W3."""
    await add_one(0)
    _waiting.add(instance_id)
    return await add_one(await DBOS.recv_async("go", timeout_seconds=WAIT_LIMIT_S))


class DbosEngine:
    """A workflow is a call of its function under an id."""

    def __init__(self) -> None:
        self.roots = {"client": (os.getpid(),)}
        self._handles: dict[str, WorkflowHandleAsync[int]] = {}

    async def run(self, workload: str, instance_id: str, value: int) -> int:
        """Call it."""
        workflow = chain if workload == "w1" else fan_out
        with SetWorkflowID(instance_id):
            return await workflow(value)

    async def start_waiting(self, instance_ids: Sequence[str]) -> None:
        """Start in the background."""
        for instance_id in instance_ids:
            with SetWorkflowID(instance_id):
                self._handles[instance_id] = await DBOS.start_workflow_async(
                    signalled, instance_id
                )
        while not _waiting.issuperset(instance_ids):  # noqa: ASYNC110 (its loop is another)
            await asyncio.sleep(POLLING_S)

    async def send(self, instance_id: str, value: int) -> None:
        """Send a message, as DBOS calls a signal."""
        await DBOS.send_async(instance_id, value, "go")

    async def result(self, instance_id: str) -> int:
        """Poll for the end, as its handle does."""
        handle = self._handles.pop(instance_id)
        return await handle.get_result(polling_interval_sec=POLLING_S)


async def main() -> None:
    """Measure on a new database."""
    case = case_of(["sqlite"])
    if case.workload == "w4":
        await measure_dbos()
        return
    with tempfile.TemporaryDirectory(prefix="dbos-bench-") as folder:
        launch(folder)
        try:
            await measure(DbosEngine(), case)
        finally:
            DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())

"""Ours, through the public client: the worker is a process of its own."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.engine import flows
from benchmarks.engine.served_log import embedded, kafka, worker_process
from benchmarks.peers.load import SENDERS, case_of, measure
from benchmarks.peers.recovery import effects_file, measure_recovery
from sayiir_es import aio
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.engine.served_log import ServedLog
    from benchmarks.peers.load import Case
    from sayiir_es import WorkflowStatus

PARTITIONS = 4
POLLING_S = 0.02

_FLOWS = {"w1": flows.ADD_ONE, "w2": flows.FAN_OUT}


class OurEngine:
    """Calls of `aio.WorkflowClient`."""

    def __init__(
        self, client: aio.WorkflowClient, roots: Mapping[str, Sequence[int]]
    ) -> None:
        self.roots = roots
        self._client = client

    async def run(self, workload: str, instance_id: str, value: int) -> int:
        """Start and wait in one call."""
        status = await self._client.run(_FLOWS[workload], instance_id, value)
        return _output(status)

    async def start_waiting(self, instance_ids: Sequence[str]) -> None:
        """Submit, and ask for the status until it says that it waits."""
        asking = asyncio.Semaphore(SENDERS)

        async def start(instance_id: str) -> None:
            async with asking:
                await self._client.submit(flows.SIGNALLED, instance_id, 0)
                status = await self._client.status(instance_id)
                while not status.is_awaiting_signal():
                    await asyncio.sleep(POLLING_S)
                    status = await self._client.status(instance_id)

        await asyncio.gather(*map(start, instance_ids))

    async def send(self, instance_id: str, value: int) -> None:
        """Send the signal."""
        await self._client.send_signal(instance_id, "go", value)

    async def result(self, instance_id: str) -> int:
        """Wait for the end."""
        return _output(await self._client.wait(instance_id))


def _output(status: WorkflowStatus) -> int:
    if not status.is_completed() or not isinstance(status.output, int):
        raise RuntimeError(f"expected it to complete, but: {status}")
    return status.output


class OurRecovery:
    """The client lives on while the worker is killed."""

    def __init__(
        self, client: aio.WorkflowClient, served: ServedLog, stack: ExitStack
    ) -> None:
        self._client = client
        self._served = served
        self._stack = stack

    async def begin(self, instance_ids: Sequence[str]) -> None:
        """Submit all."""
        starts = [(instance_id, instance_id) for instance_id in instance_ids]
        await self._client.submit_many(flows.EFFECTS, starts)

    def worker_pid(self) -> int:
        """The only worker."""
        return self._served.workers[0]

    async def restart(self) -> None:
        """Start one like it, on the state that it left."""
        worker = worker_process(self._served.backend.url, self._served.folder)
        await asyncio.to_thread(self._stack.enter_context, worker)

    async def wait(self, instance_ids: Sequence[str]) -> None:
        """Wait for all at once."""
        ends = await asyncio.gather(*map(self._client.wait, instance_ids))
        assert all(status.is_completed() for status in ends)


async def measure_ours(
    case: Case, served: ServedLog, stack: ExitStack, effects: str
) -> None:
    """Measure on a log with its worker."""
    roots = {"client": (os.getpid(),), "worker": served.workers}
    roots |= {"server": served.broker} if served.broker else {}
    async with aio.WorkflowClient(served.backend) as client:
        if case.workload == "w4":
            await measure_recovery(OurRecovery(client, served, stack), effects)
        else:
            await measure(OurEngine(client, roots), case)


def main() -> None:
    """Measure on a new log."""
    case = case_of(["kafka", "file"])
    with ExitStack() as stack:
        effects = stack.enter_context(effects_file())
        log = embedded() if case.variant == "file" else kafka(PARTITIONS, 1)
        served = stack.enter_context(log)
        asyncio.run(measure_ours(case, served, stack, effects))


if __name__ == "__main__":
    configure_logging(level="error")
    main()

"""Runs functions on an executor and collects what comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.limits import Limits
from sayiir_es.engine.attempts.executor_port import Job
from sayiir_es.engine.attempts.local_executor import LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.inputs import Outcome

LIMIT_S = 10.0


class Desk:
    """Runs functions on an executor and collects what comes back."""

    def __init__(self, slots: int = 4, *, propagate: bool = False) -> None:
        self.executor = LocalExecutor(
            slots,
            worker_id="w1",
            limits=Limits(payload_bytes=1000, error_bytes=300),
            propagate_interrupts=propagate,
        )
        self.outcomes: list[tuple[str, Outcome]] = []
        self._news = asyncio.Event()
        self._number = 0

    def job(
        self,
        function: Callable[..., object],
        data: bytes = b'"in"',
        *,
        ends_loop: bool = False,
        metadata: str | None = None,
    ) -> Job:
        """A job that runs a function."""
        self._number += 1
        return Job(
            instance_id=f"i{self._number}",
            run=1,
            path="a",
            attempt=2,
            node=TaskNode(id="a"),
            function=function,
            input=data,
            workflow="w",
            workflow_metadata=metadata,
            ends_loop=ends_loop,
            worker="w1",
            deadline_at_ms=77,
            priority=3,
            queued_at_ms=0,
            granted=self.executor.start,
            deliver=self._deliver,
        )

    def start(self, function: Callable[..., object], data: bytes = b'"in"') -> Job:
        """Queue a job that starts when it has its slot."""
        job = self.job(function, data)
        self.executor.enqueue(job)
        return job

    async def outcome(
        self, function: Callable[..., object], data: bytes = b'"in"'
    ) -> Outcome:
        """Run a function and wait for its outcome."""
        job = self.start(function, data)
        return await self.of(job)

    async def of(self, job: Job) -> Outcome:
        """Wait for the outcome of a job."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for name, outcome in self.outcomes:
                    if name == job.instance_id:
                        return outcome
                self._news.clear()
                await self._news.wait()

    def _deliver(self, job: Job, outcome: Outcome) -> None:
        self.outcomes.append((job.instance_id, outcome))
        self._news.set()

"""Runs functions on an executor and collects what comes back."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.hints import task_hints
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.limits import Limits
from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.local_executor import THREADS_LEFT_MAX, LocalExecutor
from sayiir_es.engine.definitions.registry import Runnable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.inputs import Outcome

LIMIT_S = 10.0


class ExecutorHarness:
    """Owns attempts: starts each when it has its slot, and collects the outcomes."""

    def __init__(
        self,
        slots: int = 4,
        *,
        propagate: bool = False,
        threads_left_max: int = THREADS_LEFT_MAX,
    ) -> None:
        self.executor = LocalExecutor(
            slots,
            worker_id="w1",
            limits=Limits(payload_bytes=1000, error_bytes=300),
            propagate_interrupts=propagate,
            threads_left_max=threads_left_max,
        )
        self.partition = 0
        self.outcomes: list[tuple[str, Outcome]] = []
        self._arrived = asyncio.Event()
        self._number = 0

    def attempt(
        self,
        function: Callable[..., object],
        data: bytes = b'"in"',
        *,
        ends_loop: bool = False,
        metadata: str | None = None,
    ) -> Attempt:
        """An attempt that runs a function."""
        self._number += 1
        node = TaskNode(id="a")
        graph = Graph(name="w", chain=(node,), metadata=metadata)
        return Attempt(
            instance_id=f"i{self._number}",
            run=1,
            path="a",
            number=2,
            owner=self,
            runnable=Runnable(
                graph=graph,
                node=node,
                function=function,
                is_async=inspect.iscoroutinefunction(function),
                takes_context=False,
                takes_both=False,
                ends_loop=ends_loop,
                hints=task_hints(function),
                takers=(),
            ),
            input=data,
            deadline_at_ms=77,
        )

    def start(self, function: Callable[..., object], data: bytes = b'"in"') -> Attempt:
        """Queue an attempt that starts when it has its slot."""
        attempt = self.attempt(function, data)
        self.executor.enqueue(attempt)
        return attempt

    async def run(
        self, function: Callable[..., object], data: bytes = b'"in"'
    ) -> Outcome:
        """Run a function and wait for its outcome."""
        return await self.outcome_of(self.start(function, data))

    async def outcome_of(self, attempt: Attempt) -> Outcome:
        """Wait for the outcome of an attempt."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for name, outcome in self.outcomes:
                    if name == attempt.instance_id:
                        return outcome
                self._arrived.clear()
                await self._arrived.wait()

    def granted(self, attempt: Attempt) -> None:
        """Start it."""
        self.executor.start(attempt)

    def room_freed(self) -> None:
        """Nothing waits here."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """Collect its outcome."""
        self.outcomes.append((attempt.instance_id, outcome))
        self._arrived.set()

"""Runs tasks in processes, on an executor with some of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sayiir_es import Flow
from sayiir_es.core.model.limits import Limits
from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.worker_settings import ProcessSettings
from sayiir_es.wire.payload_codec import JSON_PAYLOADS, Payloads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.inputs import Outcome

LIMIT_S = 30.0
"""No wait takes as long, on a machine with other things to do."""


class ProcessHarness:
    """Owns attempts: starts each when it has its slot, and collects the outcomes."""

    partition = 0

    def __init__(
        self, settings: ProcessSettings, *, payloads: Payloads = JSON_PAYLOADS
    ) -> None:
        self.executor = LocalExecutor(
            4,
            worker_id="w1",
            limits=Limits(payload_bytes=100_000),
            payloads=payloads,
            processes=settings,
        )
        self._payloads = payloads
        self.registry = Registry()
        self._outcomes: dict[Attempt, Outcome] = {}
        self._arrived = asyncio.Condition()
        self._number = 0

    def start(
        self, function: Callable[..., Any] | Workflow[Any, Any], value: object = None
    ) -> Attempt:
        """Queue an attempt of a function, or of the first task of a workflow."""
        if callable(function):
            workflow: Workflow[Any, Any] = (
                Flow("w", metadata={"owner": "shop"}).then(function).build()
            )
        else:
            workflow = function
        self.registry.register(workflow)
        return self.start_graph(workflow.graph, value)

    def start_graph(self, graph: Graph, value: object = None) -> Attempt:
        """Queue an attempt of the first task of a graph that was made known."""
        self._number += 1
        path = graph.chain[0].id
        attempt = Attempt(
            instance_id=f"i{self._number}",
            run=1,
            path=path,
            number=2,
            owner=self,
            runnable=self.registry.runnable(graph.digest, path),
            input=self._payloads.encode(value),
            deadline_at_ms=77,
        )
        if self.executor.reserve(attempt):
            self.granted(attempt)
        else:
            self.executor.enqueue(attempt)
        return attempt

    async def run(
        self, function: Callable[..., Any] | Workflow[Any, Any], value: object = None
    ) -> Outcome:
        """Run a function and wait for its outcome."""
        return await self.outcome_of(self.start(function, value))

    async def result_of(self, function: Any, value: object = None) -> Any:
        """The result of a function that completes."""
        outcome = await self.run(function, value)
        assert outcome.output is not None, outcome
        return self._payloads.decode(outcome.output)

    async def outcome_of(self, attempt: Attempt) -> Outcome:
        """Wait for the outcome of an attempt."""
        async with asyncio.timeout(LIMIT_S), self._arrived:
            await self._arrived.wait_for(lambda: attempt in self._outcomes)
        return self._outcomes[attempt]

    def has_outcome(self, attempt: Attempt) -> bool:
        """Whether it reported."""
        return attempt in self._outcomes

    def granted(self, attempt: Attempt) -> None:
        """Start it."""
        self.executor.start(attempt)

    def room_freed(self) -> None:
        """Nothing waits here."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """Collect its outcome."""
        assert attempt not in self._outcomes, "reported twice"
        self._outcomes[attempt] = outcome

        async def tell() -> None:
            async with self._arrived:
                self._arrived.notify_all()

        self._telling = asyncio.ensure_future(tell())


@asynccontextmanager
async def harness(
    count: int = 2, *, payloads: Payloads = JSON_PAYLOADS, **settings: Any
) -> AsyncGenerator[ProcessHarness]:
    """A harness with so many processes, until the block ends."""
    one = ProcessHarness(ProcessSettings(count=count, **settings), payloads=payloads)
    try:
        yield one
    finally:
        await one.executor.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that tells nobody when it does."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)


async def text_of(file: Path) -> str:
    """What a task wrote into a file, as soon as it has."""
    await until(lambda: file.exists() and bool(file.read_text()))
    return file.read_text()  # noqa: ASYNC240 (a few bytes)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def wait_for_end(pid: int) -> None:
    """Wait until a process has ended."""
    await until(lambda: not is_alive(pid))

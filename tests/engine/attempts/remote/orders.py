"""A workflow of one task that only executors elsewhere run, and its attempts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sayiir_es import Flow, task
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from tests.engine.attempts.remote.speaker import Speaker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.wire.attempts import PublishedAttempt
    from tests.engine.harness import EngineHarness


@task(execute="remote")
def pay(value: int) -> int:
    raise AssertionError(value)  # no worker may run it


def paying(name: str = "orders") -> Workflow:
    """A workflow of one task that only executors elsewhere run."""
    return Flow(name).then(pay).build()


def held(may_end: asyncio.Event) -> Workflow:
    """A workflow of one task that any worker runs, and that ends when it may."""

    @task
    async def pay(value: int) -> int:
        await may_end.wait()
        return value

    return Flow("orders").then(pay).build()


def speaker(harness: EngineHarness, name: str = "e1") -> Speaker:
    """An executor of these."""
    return Speaker(harness.log, name, tasks=("orders/pay",))


async def published(harness: EngineHarness, workflow: Workflow) -> None:
    """Publish a graph whose code no worker of the test has."""
    await harness.log.open(create=True)
    await DefinitionFeed(harness.log, Registry()).publish(workflow)


@asynccontextmanager
async def handed_out(
    harness: EngineHarness, workflow: Workflow | None = None, *, free: int = 1
) -> AsyncGenerator[tuple[Speaker, PublishedAttempt]]:
    """An executor that has the one attempt of an instance, and reads on."""
    executor = speaker(harness)
    async with harness.worker(workflow or paying()), executor.reading():
        executor.offer(free)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        yield executor, await executor.attempt()


def bodies(events: list[Event], kind: type) -> list[object]:
    """The bodies of a kind."""
    return [event.body for event in events if isinstance(event.body, kind)]

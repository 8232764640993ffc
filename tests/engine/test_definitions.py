"""Definitions that workers publish: which one a start by name takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.events import WorkflowStarted
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.port import Topic
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from decimal import Decimal as Hidden

    from sayiir_es.core.authoring.workflow import Workflow


async def one(value: str) -> str:
    return value


async def two(value: str) -> str:
    return value


V1 = Flow("orders").then(one).build()
V2 = Flow("orders").then(one).then(two).build()


async def test_a_rollback_of_a_definition_is_the_latest_again() -> None:
    harness = EngineHarness()
    for workflow in (V1, V2, V1):
        async with harness.worker(workflow):
            pass
    async with harness.worker():
        await harness.command("StartWorkflow", workflow="orders", input="x")
        event, *_ = await harness.until_kind("WorkflowStarted")
    assert isinstance(event.body, WorkflowStarted)
    assert event.body.graph_digest == V1.graph.digest


async def test_a_worker_that_starts_again_publishes_nothing_twice() -> None:
    harness = EngineHarness()
    for _ in range(3):
        async with harness.worker(V1):
            pass
    keys = [record.key for record in await harness.records(Topic.DEFINITIONS)]
    assert keys.count(V1.graph.digest.encode()) == 1


async def test_clients_of_two_versions_do_not_displace_each_other() -> None:
    harness = EngineHarness()
    await harness.log.open(create=True)
    feeds = [DefinitionFeed(harness.log, Registry()) for _ in range(2)]
    for _ in range(3):
        for feed, workflow in zip(feeds, (V1, V2), strict=True):
            await feed.publish(workflow)
    keys = [record.key for record in await harness.records(Topic.DEFINITIONS)]
    for workflow in (V1, V2):
        assert keys.count(workflow.graph.digest.encode()) == 1


@pytest.mark.parametrize("turns", range(8))
async def test_a_refresh_that_is_cancelled_loses_no_definition(turns: int) -> None:
    harness = EngineHarness()
    await harness.log.open(create=True)
    await DefinitionFeed(harness.log, Registry()).publish(V1)
    registry = Registry()
    feed = DefinitionFeed(harness.log, registry)
    refreshing = asyncio.create_task(feed.refresh())
    for _ in range(turns):
        await asyncio.sleep(0)
    refreshing.cancel()
    await asyncio.gather(refreshing, return_exceptions=True)
    await asyncio.wait_for(feed.refresh(), 5)
    assert registry.by_name("orders", V1.definition_hash) is not None


async def test_an_attempt_that_found_no_code_runs_when_its_code_comes() -> None:
    harness = EngineHarness()
    async with harness.worker(V1):
        await harness.command("StartWorkflow", workflow="orders", input="x")
        await harness.output()
    await harness.log.open(create=True)
    await DefinitionFeed(harness.log, Registry()).publish(V2)
    async with harness.worker() as engine:
        await harness.command("StartWorkflow", "j", workflow="orders", input="y")
        await harness.until_kind("PositionUpdated", "j")
        await engine.definitions.publish(V2)
        assert await harness.output("j") == "y"
        kinds = await harness.kinds("j")
    assert "AttemptRestarted" not in kinds


async def test_what_may_have_begun_elsewhere_is_restarted_when_its_code_comes() -> None:
    harness, begun = EngineHarness(), asyncio.Event()

    async def endless(value: str) -> str:
        begun.set()
        await asyncio.Event().wait()
        return value

    flow = Flow("endless").then(endless, name="step").build()
    engine = await harness.start_worker(flow)
    await harness.command("StartWorkflow", workflow="endless", input="x")
    await begun.wait()
    count = len(await harness.records())
    await engine.stop(drain=False)
    crashed = await harness.copy_of_first(count)
    async with crashed.worker() as second:
        begun.clear()
        await second.definitions.publish(flow)
        await crashed.until_kind("AttemptRestarted")
        await begun.wait()


async def announced(harness: EngineHarness) -> set[str]:
    """The owner ids of the announcements that stand on the topic."""
    owners: set[str] = set()
    for record in await harness.records(Topic.DEFINITIONS):
        key = (record.key or b"").decode()
        if key.startswith("worker:"):
            change = owners.add if record.value else owners.discard
            change(key.removeprefix("worker:"))
    return owners


async def test_what_a_dead_worker_announced_goes_when_another_one_owns() -> None:
    harness = EngineHarness()
    await harness.log.open(create=True)
    dead = DefinitionFeed(harness.log, Registry())
    await dead.announce("dead/1", {})
    async with harness.worker(V1):
        assert await announced(harness) == {"w1/w1"}
    assert await announced(harness) == set()


def ship(order: Hidden, *, workflow_input: int = 0) -> int:
    del order
    return workflow_input


def test_an_annotation_that_cannot_be_read_is_told_of_once() -> None:
    workflow = Flow("w").then(ship).build()
    registry = Registry()
    registry.register(workflow)
    with capture_logs() as lines:
        found = [registry.runnable(workflow.graph.digest, "ship") for _ in range(3)]
    assert None not in found
    assert [line["event"] for line in lines] == ["task.hint_ignored"]
    assert lines[0]["task_id"] == "ship"
    assert "annotation of 'order'" in lines[0]["reason"]


def registry_of(workflow: Workflow) -> Registry:
    registry = Registry()
    registry.register(workflow)
    return registry


def test_what_was_made_of_a_function_is_kept_with_its_workflow() -> None:
    digest = V1.graph.digest
    runnable = registry_of(V1).runnable(digest, "one")
    assert runnable is not None
    assert runnable is registry_of(V1).runnable(digest, "one")
    replaced = registry_of(V1.with_functions({"one": two})).runnable(digest, "one")
    assert replaced is not None
    assert replaced.function is two
    assert registry_of(V1).runnable(digest, "one") is runnable


def test_a_record_of_a_graph_that_is_here_is_taken_for_that_graph() -> None:
    registry = registry_of(V1)
    assert registry.publish(record_of_graph(V1.graph)) is V1.graph
    assert registry.is_latest(V1.graph)

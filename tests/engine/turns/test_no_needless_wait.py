"""An owner that sleeps is woken by all that is to be decided, and waits for no alarm.

In virtual time a second passes at once where nothing is to be done. So where an owner
sleeps over something, its alarm ends that sleep, and the clock tells.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Flow, LoopResult, task
from sayiir_es.engine.owner.owner import SLEEP_MOST_S
from tests.engine.attempts.remote.speaker import virtual_harness

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sayiir_es.core.authoring.flow import Workflow

INSTANCES = 6


@contextmanager
def without_alarm() -> Generator[None]:
    """Inside, no alarm ends the sleep of an owner."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    yield
    # The tests look at the log now and then: that takes less.
    assert loop.time() - began_s < SLEEP_MOST_S


async def echo(value: Any) -> Any:
    return value


async def both(one: Any, other: Any) -> Any:
    return [one, other]


@task
async def three_times(value: int) -> LoopResult[int]:
    return LoopResult.done(value) if value >= 3 else LoopResult.again(value + 1)


def chain() -> Workflow[Any, Any]:
    return Flow("w").then(echo, name="a").then(echo, name="b").build()


def fork() -> Workflow[Any, Any]:
    branch = Flow("branch").then(echo)
    flow = Flow("w").fork().branch(branch, name="a").branch(branch, name="b")
    return flow.join(both).then(echo).build()


def loop() -> Workflow[Any, Any]:
    return Flow("w").loop(three_times, max_iterations=9).then(echo).build()


def child() -> Workflow[Any, Any]:
    return Flow("w").start_child(Flow("kid").then(echo).build()).then(echo).build()


def limited() -> Workflow[Any, Any]:
    @task(concurrency_key="all", max_concurrency=1)
    async def alone(value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    return Flow("w").then(alone).then(echo).build()


CONSTRUCTS = (chain, fork, loop, child, limited)


@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("turn_units", [1, 10_000])
@pytest.mark.parametrize("batch_records", [1, 3, 2_000])
@pytest.mark.parametrize("workflow", CONSTRUCTS)
async def test_no_construct_waits_for_an_alarm(
    workflow: Callable[[], Workflow[Any, Any]],
    batch_records: int,
    turn_units: int,
    slots: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sayiir_es.engine.owner.batch.RECORDS_MAX", batch_records)
    harness = virtual_harness(turn_units=turn_units)
    made = workflow()
    async with harness.worker(made, slots=slots):
        with without_alarm():
            for number in range(INSTANCES):
                await harness.command(
                    "StartWorkflow", f"i{number}", workflow="w", input=number % 3
                )
            for number in range(INSTANCES):
                await harness.output(f"i{number}")


async def test_an_owner_that_stops_waits_for_no_alarm() -> None:
    runs = asyncio.Event()

    async def hold(value: Any) -> Any:
        runs.set()
        await asyncio.sleep(3_600)
        return value

    harness = virtual_harness()
    async with harness.worker(Flow("w").then(hold).build()) as worker:
        await harness.command("StartWorkflow", "i", workflow="w", input=1)
        await runs.wait()
        owner = worker.owners[0]
        with without_alarm():
            owner.stop()
            while owner.serving:  # noqa: ASYNC110 (no event says so)
                await asyncio.sleep(0.01)
    kinds = await harness.kinds("i")
    assert kinds[-1] == "AttemptWithdrawn"

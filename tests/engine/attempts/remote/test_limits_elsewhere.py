"""A limit holds for attempts that executors elsewhere run, as for those of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.model.permit_events import PermitTaken
from tests.engine.attempts.remote.orders import (
    bodies,
    published,
)
from tests.engine.attempts.remote.speaker import Speaker, virtual_harness

if TYPE_CHECKING:
    from sayiir_es.core.authoring.flow import Workflow

INSTANCES = 4


@task(execute="remote", concurrency_key="till", max_concurrency=1)
def pay(value: int) -> int:
    raise AssertionError(value)  # no worker may run it


@task(concurrency_key="till", max_concurrency=1)
def pay_anywhere(value: int) -> int:
    raise AssertionError(value)  # the worker of the test has no code


remote = Flow("orders").then(pay).build()
foreign = Flow("orders").then(pay_anywhere, name="pay").build()


@pytest.mark.parametrize("workflow", [remote, foreign], ids=["remote", "foreign"])
async def test_no_more_run_elsewhere_than_the_limit_allows(workflow: Workflow) -> None:
    harness = virtual_harness()
    served = [workflow] if workflow is remote else []
    if not served:
        await published(harness, workflow)
    executor = Speaker(harness.log, tasks=("orders/pay",))
    async with harness.worker(*served), executor.reading():
        executor.offer(INSTANCES)
        for number in range(INSTANCES):
            await harness.command("StartWorkflow", f"i{number}", workflow="orders")
        await harness.until_kind("PositionUpdated", f"i{INSTANCES - 1}")
        for number in range(INSTANCES):
            attempt = await executor.attempt(number + 1)
            assert len(executor.handed_out()) == number + 1
            await executor.tell(attempt)
            assert await harness.output(attempt.instance_id) == "done"
            (taken,) = bodies(await harness.events(attempt.instance_id), PermitTaken)
            assert isinstance(taken, PermitTaken)

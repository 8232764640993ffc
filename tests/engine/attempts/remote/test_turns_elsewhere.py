"""Fairness keys give turns at executors elsewhere as they do at slots of a worker."""

from __future__ import annotations

from sayiir_es import Flow, task
from tests.engine.attempts.remote.orders import speaker
from tests.engine.harness import EngineHarness


async def test_tenants_take_turns_at_executors_elsewhere() -> None:
    @task(execute="remote", fairness_key="{input}")
    def pay(tenant: str) -> str:
        raise AssertionError(tenant)  # no worker may run it

    harness = EngineHarness()
    workflow = Flow("orders").then(pay).build()
    names = [f"many{number}" for number in range(20)] + ["few0", "few1"]
    async with harness.worker(workflow), speaker(harness).reading() as executor:
        executor.offer(0)
        for name in names:
            tenant = name.rstrip("0123456789")
            await harness.command(
                "StartWorkflow", name, workflow="orders", input=tenant
            )
        await harness.until_kind("PositionUpdated", "few1")
        executor.offer(4, slots=100)
        await executor.attempt(4)
        first = [one.instance_id for one in executor.handed_out()]
        assert first == ["many0", "few0", "many1", "few1"]
        executor.offer(50, slots=100)
        for number in range(len(names)):
            await executor.tell(await executor.attempt(number + 1))
        for name in names:
            assert await harness.output(name) == "done"

"""Resources: made once by a worker, handed to tasks by name, ended behind the last."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    DurableEngine,
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    LoopResult,
    ResourceError,
    Worker,
    WorkflowClient,
    WorkflowEngine,
    aio,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    task,
)
from sayiir_es.testing import given
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Pool:
    """Belongs to the loop it was made on, as pools of connections do."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.current_thread()
        self.is_closed = False

    async def get(self, key: int) -> str:
        """Read a row."""
        assert asyncio.get_running_loop() is self.loop
        assert not self.is_closed
        await asyncio.sleep(0)
        return f"row {key}"


@task
async def charge(order: int, *, pool: Pool) -> str:
    return await pool.get(order)


@task(retries=1)
def ship(row: str, *, workflow_input: int, charge: str, rate: float) -> list[object]:
    return [row, charge, workflow_input * rate]


ORDERS = Flow("orders").then(charge).then(ship).build()


def test_a_worker_makes_them_once_on_the_loop_of_its_tasks() -> None:
    made: list[Pool] = []
    ended: list[Mapping[str, object]] = []

    async def on_startup() -> dict[str, object]:
        made.append(Pool())
        return {"pool": made[0], "rate": 1.5, "unused": None}

    def on_shutdown(resources: Mapping[str, object]) -> None:
        assert threading.current_thread() is made[0].thread
        made[0].is_closed = True
        ended.append(resources)

    backend = InMemoryBackend()
    worker = Worker("w1", backend, on_startup=on_startup, on_shutdown=on_shutdown)
    with worker.start([ORDERS]):
        client = WorkflowClient(backend)
        for number in range(3):
            status = client.run(ORDERS, f"o-{number}", number, timeout="30s")
            assert status.output == [f"row {number}", f"row {number}", number * 1.5]
        assert not ended
    assert len(made) == 1
    assert [sorted(one) for one in ended] == [["pool", "rate", "unused"]]


def test_the_last_task_has_ended_before_they_are() -> None:
    order: list[str] = []
    begun = threading.Event()

    def on_shutdown(_resources: Mapping[str, object]) -> None:
        order.append("shutdown")

    async def slow(_value: object, *, pool: str) -> str:
        begun.set()
        await asyncio.sleep(0.2)
        order.append(pool)
        return pool

    backend = InMemoryBackend()
    worker = Worker(
        "w1", backend, on_startup=lambda: {"pool": "task"}, on_shutdown=on_shutdown
    )
    flow = Flow("slow").then(slow).build()
    handle = worker.start([flow])
    WorkflowClient(backend).submit(flow, "i")
    assert begun.wait(30)
    handle.shutdown()
    handle.join()
    assert order == ["task", "shutdown"]


def test_a_start_names_what_nobody_gives() -> None:
    ended: list[object] = []

    def start(given: object) -> None:
        worker = Worker(
            "w1",
            InMemoryBackend(),
            on_startup=lambda: given,  # type: ignore[arg-type, return-value]  # some are wrong
            on_shutdown=ended.append,
        )
        worker.start([ORDERS]).shutdown()

    with pytest.raises(
        ResourceError,
        match=r"expected on_startup to have the resource 'pool', which task 'charge' "
        r"of 'orders' names, but it has pol, rate; is 'pol' meant\?",
    ):
        start({"pol": 1, "rate": 2})
    assert ended == [{"pol": 1, "rate": 2}]
    with pytest.raises(ResourceError, match=r"'pool'.*none\n.*'rate'.*none"):
        start(None)
    ended.clear()
    with pytest.raises(ResourceError, match="a mapping of resources by name, but int"):
        start(5)
    with pytest.raises(ResourceError, match="none context or workflow_input, but 'con"):
        start({"context": 1, "pool": 1, "rate": 1})
    assert not ended
    with pytest.raises(TypeError, match="expected on_startup to be a function, but 5"):
        Worker("w1", "memory:", on_startup=5)  # type: ignore[arg-type]  # it is wrong


def test_what_on_startup_raises_stops_the_start_with_words() -> None:
    def refuses() -> None:
        raise ConnectionError("no database")

    ended: list[object] = []
    worker = Worker(
        "w1", InMemoryBackend(), on_startup=refuses, on_shutdown=ended.append
    )
    with pytest.raises(
        ResourceError, match="on_startup to give resources, but it raised Connection"
    ) as raised:
        worker.start([ORDERS])
    assert isinstance(raised.value.__cause__, ConnectionError)
    assert not ended


def test_what_on_shutdown_raises_is_logged_and_hides_no_result() -> None:
    def refuses(_resources: Mapping[str, object]) -> None:
        raise ConnectionError("gone")

    backend = InMemoryBackend()
    flow = Flow("one").then(lambda value: value).build()
    worker = Worker("w1", backend, on_shutdown=refuses)
    with capture_logs() as logs, worker.start([flow]):
        client = WorkflowClient(backend)
        assert client.run(flow, "i", 1, timeout="30s").output == 1
    lines = [line for line in logs if line["event"] == "worker.resources_left"]
    assert [line["log_level"] for line in lines] == ["error"]


def test_helpers_take_them() -> None:
    flow = Flow("w").then(ship_at).build()
    resources = {"rate": 2}
    assert run_workflow(flow, 3, resources=resources) == 6
    assert run_workflow(flow, 3, instance_id="i", resources=resources) == 6
    with InMemoryBackend() as backend:
        waits = Flow("w").wait_for_signal("go").then(ship_at).build()
        run_durable_workflow(waits, "i", None, backend, resources=resources)
        WorkflowClient(backend).send_signal("i", "go", 4)
        status = resume_workflow(waits, "i", backend, resources={"rate": 3})
        assert status.output == 12
    assert given(flow, 3, resources=resources).result.output == 6
    assert WorkflowEngine().run(flow, 3, resources=resources) == 6
    engine = DurableEngine(InMemoryBackend())
    assert engine.run(flow, "i", 3, resources=resources).output == 6
    assert engine.resume(flow, "i", resources=resources).output == 6
    message = (
        r"expected resources= to have the resource 'rate', which task 'ship_at' of"
    )
    with pytest.raises(ResourceError, match=message):
        run_workflow(flow, 3)
    with pytest.raises(ResourceError, match=message):
        run_durable_workflow(flow, "i", 3)
    with pytest.raises(ResourceError, match=message):
        resume_workflow(flow, "i", "memory:")
    with pytest.raises(ResourceError, match=message):
        given(flow, 3)


@task
def ship_at(value: int, *, rate: int) -> int:
    return value * rate


def test_a_default_stands_where_nobody_gives_one() -> None:
    def tell(value: int, *, unit: str = "EUR") -> str:
        return f"{value} {unit}"

    flow = Flow("w").then(tell).build()
    assert run_workflow(flow, 5) == "5 EUR"
    assert run_workflow(flow, 5, resources={"unit": "CHF"}) == "5 CHF"


def test_a_node_that_surely_ran_goes_before_a_resource() -> None:
    def rate(_value: object) -> int:
        return 7

    flow = Flow("w").then(rate).then(ship_at).build()
    assert run_workflow(flow, 1, resources={"rate": 100}) == 49


def test_every_construct_hands_them_on() -> None:
    def key(_value: object, *, prefix: str) -> str:
        return prefix

    def again(value: int, *, prefix: str) -> LoopResult[str]:
        return LoopResult.done(f"{prefix}{value}")

    def joined(both: dict[str, object], *, prefix: str) -> list[object]:
        return [*both.values(), prefix]

    flow = (
        Flow("w")
        .loop(again)
        .fork()
        .branch(lambda value: value, name="x")
        .branch(Flow().route(key, keys=["p"]).branch("p", told).done(), name="y")
        .join(joined)
        .build()
    )
    expected = ["p1", {"branch": "p", "result": "p-p1"}, "p"]
    assert run_workflow(flow, 1, resources={"prefix": "p"}) == expected
    durable = run_durable_workflow(flow, "i", 1, resources={"prefix": "p"})
    assert durable.output == expected


def told(value: str, *, prefix: str) -> str:
    return f"{prefix}-{value}"


def test_a_client_needs_none(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "log.db")
    client = WorkflowClient(backend)
    assert client.submit(ORDERS, "o-1", 1).status == "in_progress"
    assert client.status("o-1").waiting_for == "task 'charge', attempt 1"
    backend.close()


async def test_an_async_worker_works_on_the_loop_of_its_caller() -> None:
    backend = InMemoryBackend()
    made: list[Pool] = []

    def on_startup() -> dict[str, object]:
        made.append(Pool())
        return {"pool": made[-1], "rate": 2}

    async def on_shutdown(_resources: Mapping[str, object]) -> None:
        await asyncio.sleep(0)
        made[-1].is_closed = True

    async with (
        aio.Worker(
            "w1", backend, [ORDERS], on_startup=on_startup, on_shutdown=on_shutdown
        ),
        aio.WorkflowClient(backend) as client,
    ):
        status = await client.run(ORDERS, "o-1", 1, timeout="30s")
        assert status.output == ["row 1", "row 1", 2]
        assert made[0].loop is asyncio.get_running_loop()
        assert [pool.is_closed for pool in made] == [False]
    assert [pool.is_closed for pool in made] == [True]
    worker = await aio.Worker("w2", backend, on_startup=on_startup).start([ORDERS])
    async with worker, aio.WorkflowClient(backend) as client:
        assert (await client.run(ORDERS, "o-2", 2, timeout="30s")).is_completed()
        with pytest.raises(
            RuntimeError, match="expected worker 'w2' to be started once"
        ):
            await worker.start()
    await worker.shutdown()
    assert len(made) == 2


async def test_an_async_worker_that_cannot_start_leaves_nothing_open() -> None:
    ended: list[object] = []
    backend = InMemoryBackend()
    worker = aio.Worker(
        "w1", backend, [ORDERS], on_startup=dict, on_shutdown=ended.append
    )
    with pytest.raises(ResourceError, match="'pool'"):
        await worker.start()
    assert ended == [{}]
    with pytest.raises(ValueError, match="expected max_concurrent_tasks of at least 1"):
        aio.Worker("w1", backend, max_concurrent_tasks=0)

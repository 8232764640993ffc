"""Each call is written once: its types, docstring and name are right on both sides."""

from __future__ import annotations

import inspect
import pickle
from typing import TYPE_CHECKING, assert_type
from uuid import UUID

import pytest

import sayiir_es
from sayiir_es import (
    Flow,
    InMemoryBackend,
    InstancePage,
    WorkflowClient,
    WorkflowStatus,
    aio,
)
from sayiir_es.client.worker import WorkerOptions

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = ("Worker", "WorkflowClient")
FUNCTIONS = [name for name in aio.__all__ if name not in (*CLASSES, "aclose")]
METHODS = [
    name
    for name, _ in inspect.getmembers(WorkflowClient, inspect.isfunction)
    if not name.startswith("_")
]


def pairs() -> list[tuple[Callable[..., object], Callable[..., object]]]:
    """Each synchronous call with the asynchronous one."""
    return [
        *((getattr(sayiir_es, name), getattr(aio, name)) for name in FUNCTIONS),
        *(
            (getattr(WorkflowClient, name), getattr(aio.WorkflowClient, name))
            for name in METHODS
        ),
    ]


def test_both_clients_have_the_same_calls() -> None:
    asynchronous = inspect.getmembers(aio.WorkflowClient, inspect.iscoroutinefunction)
    names = {name for name, _ in asynchronous if not name.startswith("_")}
    assert set(METHODS) == names - {"aclose"}
    assert len(METHODS) == 29
    assert len(FUNCTIONS) == 7


def test_both_workers_have_the_same_options() -> None:
    taken = inspect.signature(sayiir_es.Worker).parameters.values()
    options = {one.name for one in taken if one.kind is one.KEYWORD_ONLY}
    of_sayiir = {"poll_interval", "claim_ttl"}  # they mean nothing here
    assert options - of_sayiir == set(WorkerOptions.__annotations__)


@pytest.mark.parametrize(("sync", "coroutine"), pairs(), ids=lambda call: call.__name__)
def test_a_call_looks_the_same_on_both_sides(
    sync: Callable[..., object], coroutine: Callable[..., object]
) -> None:
    assert inspect.iscoroutinefunction(coroutine)
    assert not inspect.iscoroutinefunction(sync)
    assert inspect.signature(sync) == inspect.signature(coroutine)
    assert sync.__name__ == coroutine.__name__
    assert sync.__doc__ == coroutine.__doc__
    assert sync.__doc__ is not None
    assert pickle.loads(pickle.dumps(sync)) is sync  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(coroutine)) is coroutine  # noqa: S301


async def test_type_checkers_know_what_calls_take_and_return() -> None:
    flow = Flow("w").then(str).build()
    async with aio.WorkflowClient("memory:") as on_loop:
        assert_type(await on_loop.submit(flow, "a", 1), WorkflowStatus)
        assert_type(await on_loop.list(status="completed"), tuple[WorkflowStatus, ...])
        assert_type(await on_loop.count(workflow="w"), int)
        assert_type(await on_loop.submit_many(flow, []), tuple[WorkflowStatus, ...])
        assert_type(await on_loop.list_page(workflow="w"), InstancePage)
        assert_type(await on_loop.cancel("a", reason="enough"), None)
    with InMemoryBackend() as backend:
        client = WorkflowClient(backend)
        assert_type(client.submit(flow, "a", 1, attributes=None), WorkflowStatus)
        assert_type(client.list(status="failed", limit=1), tuple[WorkflowStatus, ...])
        assert_type(client.count(workflow="w"), int)
        assert_type(client.submit(flow, UUID(int=1), ack="log"), WorkflowStatus)
        assert_type(client.submit_many(flow, [("c", 1)]), tuple[WorkflowStatus, ...])
        assert_type(client.list_page(limit=1), InstancePage)
        assert_type(sayiir_es.cancel_workflow("a", backend, cancelled_by="ana"), None)
        assert_type(client.get_task_result("a", "str"), object)
        assert_type(
            sayiir_es.run_durable_workflow(flow, "b", 1, backend), WorkflowStatus
        )
        assert_type(sayiir_es.run_workflow(flow, 1, instance_id=None), object)


def test_a_task_on_the_loop_of_its_backend_may_call_the_same_backend() -> None:
    waiting = Flow("waiting").wait_for_signal("go").build()

    async def send(value: object) -> object:
        await aio.send_signal("b", "go", value, backend)
        async with aio.WorkflowClient(backend) as client:
            return (await client.status("b")).status

    with InMemoryBackend() as backend:
        sayiir_es.run_durable_workflow(waiting, "b", 1, backend)
        flow = Flow("sending").then(send).build()
        status = sayiir_es.run_durable_workflow(flow, "a", 7, backend)
        assert status.output == "completed"
        assert sayiir_es.resume_workflow(waiting, "b", backend).output == 7

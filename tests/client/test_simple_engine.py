"""`run_workflow` and the simple engine: as Sayiir's, with time-outs that hold."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    DeserializationError,
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    TaskError,
    WorkflowEngine,
    WorkflowError,
    get_task_context,
    run_workflow,
    task,
)

if TYPE_CHECKING:
    from pathlib import Path


def add(value: int) -> int:
    return value + 1


async def double(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


def boom(_: object) -> object:
    raise ValueError("no way")


def count(value: int) -> LoopResult[int]:
    return LoopResult.done(value) if value >= 3 else LoopResult.again(value + 1)


def test_a_chain_of_sync_and_async_tasks_runs() -> None:
    assert run_workflow(Flow().then(add).then(double).build(), 1) == 4


def test_repeated_names_execute_again() -> None:
    assert run_workflow(Flow().then(double).then(double).build(), 5) == 20


def test_a_failure_tells_type_message_and_where() -> None:
    with pytest.raises(TaskError, match="ValueError: no way") as caught:
        run_workflow(Flow().then(boom).build(), 1)
    assert "in boom" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_fork_joins_by_name_in_declared_order() -> None:
    inputs: list[dict[str, int]] = []

    def both(values: dict[str, int]) -> int:
        inputs.append(values)
        return sum(values.values())

    flow = Flow().fork().branch(add, double).branch(double, name="twice").join(both)
    assert run_workflow(flow.build(), 3) == 14
    assert list(inputs[0].items()) == [("add", 8), ("twice", 6)]


def test_a_route_gives_the_envelope_and_its_default_keeps_the_key() -> None:
    def parity(value: int) -> str:
        return "even" if value % 2 == 0 else "odd"

    flow = (
        Flow().route(parity, keys=["even"]).branch("even", add).default_branch(double)
    )
    workflow = flow.done().build()
    assert run_workflow(workflow, 2) == {"branch": "even", "result": 3}
    assert run_workflow(workflow, 3) == {"branch": "odd", "result": 6}


def test_a_key_without_a_branch_and_one_that_is_no_string_fail() -> None:
    def missing(_: object) -> str:
        return "zz"

    def number(_: object) -> int:
        return 5

    for key_fn, error in ((missing, TaskError), (number, DeserializationError)):
        flow = Flow().route(key_fn, keys=["a"]).branch("a", add).done()
        with pytest.raises(error):
            run_workflow(flow.build(), 1)


def test_a_loop_ends_when_its_body_says_so_or_at_its_maximum() -> None:
    assert run_workflow(Flow().loop(count).build(), 0) == 3
    last = Flow().loop(count, max_iterations=2, on_max="exit_with_last").build()
    assert run_workflow(last, 0) == 2
    with pytest.raises(TaskError, match="exceeded max iterations"):
        run_workflow(Flow().loop(count, max_iterations=2).build(), 0)
    with pytest.raises(DeserializationError, match="LoopEnvelope"):
        run_workflow(Flow().loop(add).build(), 0)  # type: ignore[arg-type]  # it is wrong


def test_equal_names_in_parent_and_child_never_meet() -> None:
    child = Flow("child").then(lambda value: value * 100).build()
    flow = Flow().then(lambda value: value + 1).then_flow(child)
    assert run_workflow(flow.build(), 1) == 200


def test_a_wait_for_a_signal_is_an_error() -> None:
    with pytest.raises(TaskError, match="AwaitSignal 'ok' not supported"):
        run_workflow(Flow().wait_for_signal("ok").build(), 1)


def test_retries_are_as_many_as_asked_for() -> None:
    calls: list[int] = []

    @task(retries=RetryPolicy(max_retries=2, initial_delay_secs=0.001))
    def flaky(value: int) -> int:
        calls.append(value)
        if len(calls) < 3:
            raise ValueError("not yet")
        return value

    assert run_workflow(Flow().then(flaky).build(), 7) == 7
    assert calls == [7, 7, 7]


def test_a_time_out_is_enforced_for_sync_tasks_too() -> None:
    hold = threading.Event()

    @task(timeout="20ms")
    def stuck(_: object) -> None:
        hold.wait(10)

    with pytest.raises(TaskError, match="timed out after 20ms"):
        run_workflow(Flow().then(stuck).build(), 1)
    hold.set()


def test_the_context_names_the_workflow() -> None:
    def read_context(_: object) -> list[object]:
        context = get_task_context()
        assert context is not None
        return [context.workflow_id, context.instance_id, context.task_id]

    flow = Flow("named", metadata={"a": 1}).then(read_context).build()
    inner = flow._inner  # pyright: ignore[reportPrivateUsage]  # Sayiir's way
    registry = flow._task_registry  # pyright: ignore[reportPrivateUsage]  # as above
    ids = WorkflowEngine().run(inner, 1, registry)
    assert ids == ["named", "named", "read_context"]


def test_with_an_instance_id_it_is_durable_and_raises_unless_completed() -> None:
    with InMemoryBackend() as backend:
        chain = Flow().then(add).build()
        assert run_workflow(chain, 1, instance_id="i", backend=backend) == 2
        parked = Flow("p").wait_for_signal("ok").build()
        with pytest.raises(WorkflowError, match=r"status=awaiting_signal"):
            run_workflow(parked, 1, instance_id="j", backend=backend)


def test_without_an_id_a_backend_is_not_used_but_looked_at(tmp_path: Path) -> None:
    chain = Flow().then(add).build()
    file = tmp_path / "log.db"
    assert run_workflow(chain, 1, backend=f"file:{file}") == 2
    assert not file.exists()
    with pytest.raises(ValueError, match="expected memory:, file:PATH"):
        run_workflow(chain, 1, backend="nonsense")

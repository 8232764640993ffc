"""An executor beside a worker, on the memory log: what it runs and hands back."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    Executor,
    Flow,
    InMemoryBackend,
    LoopResult,
    Worker,
    WorkflowClient,
    get_task_context,
    task,
)
from sayiir_es.core.model.errors import ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es import Workflow, WorkflowStatus

LIMIT_S = 20.0


def remote(function: Callable[..., object], **options: Any) -> Callable[..., object]:
    """A function as a task that no worker runs."""
    return task(execute="remote", **options)(function)


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


def run(
    backend: InMemoryBackend, workflow: Workflow, value: object, **options: Any
) -> WorkflowStatus:
    """How one instance ends; decided by a worker, run by an executor."""
    executor = Executor("e", backend, **options)
    with Worker("w", backend).start([workflow]), executor.start([workflow]):
        return WorkflowClient(backend).run(workflow, "i", value, timeout=LIMIT_S)


def double(value: int) -> int:
    return value * 2


async def double_async(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


def name_thread(value: int) -> list[object]:
    context = get_task_context()
    return [value, context.attempt, context.run, context.idempotency_key]


@pytest.mark.parametrize("function", [double, double_async])
def test_a_remote_task_runs_in_an_executor(
    backend: InMemoryBackend, function: Callable[[int], object]
) -> None:
    workflow = Flow("w").then(remote(function)).build()
    assert run(backend, workflow, 21).output == 42


def test_a_task_has_its_context(backend: InMemoryBackend) -> None:
    workflow = Flow("w").then(remote(name_thread)).build()
    assert run(backend, workflow, 7).output == [7, 1, 1, "i/1/name_thread"]


def test_an_error_goes_back_with_its_details_and_is_tried_again(
    backend: InMemoryBackend,
) -> None:
    tries: list[int] = []

    def fail_twice(value: int) -> int:
        tries.append(get_task_context().attempt)
        if len(tries) < 3:
            raise KeyError("amount")
        return value

    function = remote(fail_twice, retries=5)
    workflow = Flow("w").then(function).build()
    assert run(backend, workflow, 7).output == 7
    assert tries == [1, 2, 3]


def test_an_error_that_stays_fails_the_instance(backend: InMemoryBackend) -> None:
    def fail(_: int) -> int:
        raise KeyError("amount")

    workflow = Flow("w").then(remote(fail)).build()
    status = run(backend, workflow, 7)
    assert status.error == "KeyError: 'amount'"
    assert status.error_type == "KeyError"
    assert status.error_details is not None
    assert "raise KeyError" in status.error_details.traceback
    assert status.error_details.error_class == "builtins.KeyError"


def test_an_output_that_is_too_large_fails_for_good(backend: InMemoryBackend) -> None:
    def grow(size: int) -> str:
        return "x" * size

    workflow = Flow("w").then(remote(grow, retries=3)).build()
    status = run(backend, workflow, 800 * 1024)
    assert status.error_type == "too_large"
    assert "at most" in str(status.error)


def test_values_by_name_loops_and_routes_go_elsewhere_too(
    backend: InMemoryBackend,
) -> None:
    def add(value: int, *, workflow_input: int) -> int:
        return value + workflow_input

    def again(value: int) -> LoopResult[int]:
        return LoopResult.done(value) if value >= 40 else LoopResult.again(value * 2)

    flow: Any = Flow("w").then(remote(double)).then(remote(add))
    workflow = flow.loop(remote(again), max_iterations=9).build()
    assert run(backend, workflow, 3).output == 72


def test_resources_are_made_for_the_tasks_of_an_executor(
    backend: InMemoryBackend,
) -> None:
    ended: list[object] = []

    def use(value: int, *, base: int) -> int:
        return value + base

    workflow = Flow("w").then(remote(use)).build()
    executor = Executor(
        "e", backend, on_startup=lambda: {"base": 100}, on_shutdown=ended.append
    )
    worker = Worker("w", backend, on_startup=lambda: {"base": 0})
    with worker.start([workflow]), executor.start([workflow]):
        status = WorkflowClient(backend).run(workflow, "i", 7, timeout=LIMIT_S)
        assert status.output == 107
        assert ended == []
    assert ended == [{"base": 100}]
    with pytest.raises(ResourceError, match="base"):
        Executor("e", backend).start([workflow])


def test_two_fleets_with_different_code_finish_what_either_has(
    backend: InMemoryBackend,
) -> None:
    one = Flow("one").then(remote(double)).build()
    other = Flow("other").then(remote(double_async)).build()
    with (
        Worker("w", backend).start([one, other]),
        Executor("a", backend).start([one]),
        Executor("b", backend).start([other]),
    ):
        client = WorkflowClient(backend)
        for number in range(20):
            workflow = (one, other)[number % 2]
            client.submit(workflow, f"i-{number}", number)
        for number in range(20):
            assert client.wait(f"i-{number}", LIMIT_S).output == number * 2


def test_tags_say_who_runs_a_task(backend: InMemoryBackend) -> None:
    seen: list[str] = []

    def note(value: int) -> int:
        seen.append(threading.current_thread().name)
        return value

    workflow = Flow("w").then(remote(note, tags=["gpu"])).build()
    with (
        Worker("w", backend).start([workflow]),
        Executor("cpu", backend, tags=["cpu"]).start([workflow]),
    ):
        client = WorkflowClient(backend)
        client.submit(workflow, "i", 7)
        with Executor("gpu", backend, tags=["gpu", "eu"]).start([workflow]):
            assert client.wait("i", LIMIT_S).output == 7
    assert len(seen) == 1


def test_at_its_end_an_executor_hands_back_what_has_not_begun(
    backend: InMemoryBackend,
) -> None:
    began, may_end = threading.Event(), threading.Event()

    def hold(value: int) -> int:
        began.set()
        assert may_end.wait(LIMIT_S)
        return value

    workflow = Flow("w").then(remote(hold)).build()
    first = Executor(
        "first", backend, max_concurrent_tasks=2, prefetch=2, drain=LIMIT_S
    )
    with Worker("w", backend).start([workflow]):
        client = WorkflowClient(backend)
        with first.start([workflow]) as handle:
            for number in range(6):
                client.submit(workflow, f"i-{number}", number)
            assert began.wait(LIMIT_S)
            ending = threading.Thread(target=handle.shutdown)
            ending.start()
            with Executor("second", backend).start([workflow]):
                may_end.set()
                for number in range(6):
                    assert client.wait(f"i-{number}", LIMIT_S).output == number
            ending.join(LIMIT_S)
            assert not ending.is_alive()


def test_what_still_runs_behind_the_drain_is_handed_back(
    backend: InMemoryBackend,
) -> None:
    runs: list[str] = []

    async def hold(value: int) -> int:
        runs.append("begun")
        if len(runs) == 1:
            await asyncio.sleep(3600)
        return value

    workflow = Flow("w").then(remote(hold)).build()
    with Worker("w", backend).start([workflow]):
        client = WorkflowClient(backend)
        with Executor("first", backend, drain=0.1).start([workflow]):
            client.submit(workflow, "i", 7)
            while not runs:
                client.status("i")
        with Executor("second", backend).start([workflow]):
            assert client.wait("i", LIMIT_S).output == 7
    assert runs == ["begun", "begun"]


def test_a_cancel_is_told_to_the_function(backend: InMemoryBackend) -> None:
    began, told = threading.Event(), threading.Event()

    def hold(value: int) -> int:
        context = get_task_context()
        began.set()
        while not context.cancelled:
            time.sleep(0.01)
        told.set()
        return value

    workflow = Flow("w").then(remote(hold)).then(remote(double)).build()
    with (
        Worker("w", backend).start([workflow]),
        Executor("e", backend).start([workflow]),
    ):
        client = WorkflowClient(backend)
        client.submit(workflow, "i", 7)
        assert began.wait(LIMIT_S)
        client.cancel("i")
        assert told.wait(LIMIT_S)
        assert client.wait("i", LIMIT_S).status == "cancelled"


def test_heartbeats_keep_an_attempt_and_their_lack_ends_it(
    backend: InMemoryBackend,
) -> None:
    async def beat(times: int) -> int:
        context = get_task_context()
        for number in range(times):
            context.heartbeat({"done": number})
            await asyncio.sleep(0.1)
        if not times:
            await asyncio.sleep(3600)
        return times

    workflow = Flow("w").then(remote(beat, heartbeat_timeout=1.0)).build()
    assert run(backend, workflow, 20).output == 20
    with (
        Worker("w", backend).start([workflow]),
        Executor("e", backend).start([workflow]),
    ):
        status = WorkflowClient(backend).run(workflow, "j", 0, timeout=LIMIT_S)
        assert status.error_type == "heartbeat_timeout"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_concurrent_tasks": 0}, "max_concurrent_tasks of at least 1"),
        ({"prefetch": -1}, "prefetch of at least 0"),
    ],
)
def test_an_option_out_of_range_is_refused(
    backend: InMemoryBackend, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        Executor("e", backend, **options)
    with pytest.raises(ValueError, match="expected an executor_id"):
        Executor("", backend)

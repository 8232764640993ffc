"""Errors that are caught: the same with a log and without, by sync and async tasks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    TaskError,
    run_durable_workflow,
    run_workflow,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es import Workflow

    Run: TypeAlias = Callable[[Workflow, object], Any]


def run_durable(workflow: Workflow, value: object) -> object:
    with InMemoryBackend() as backend:
        status = run_durable_workflow(workflow, "i", value, backend)
        assert status.is_completed(), status.error
        return status.output


ways = pytest.mark.parametrize("run", [run_durable, run_workflow])


class DeclinedError(LookupError):
    """An error of a user."""


def decline(order: object) -> None:
    raise DeclinedError(f"no card for {order}")


async def decline_later(order: object) -> None:
    await asyncio.sleep(0)
    decline(order)


def told(caught: dict[str, Any]) -> object:
    error = caught["error"]
    return [error["type"], error["message"], error["task"], caught["input"]]


@ways
@pytest.mark.parametrize("function", [decline, decline_later])
@pytest.mark.parametrize("errors", [(), LookupError, (OSError, DeclinedError)])
def test_a_handler_is_told_what_failed(
    run: Run, function: Callable[[object], object], errors: Any
) -> None:
    flow = Flow("w").attempt(function, name="pay").on_error(told, errors=errors)
    expected = ["DeclinedError", "no card for 7", function.__name__, 7]
    assert run(flow.build(), 7) == expected


@ways
def test_what_nobody_wants_fails_the_run(run: Run) -> None:
    flow = Flow("w").attempt(decline).on_error(told, errors=(ValueError, "timeout"))
    with pytest.raises((TaskError, AssertionError), match="no card for 7"):
        run(flow.build(), 7)


@ways
def test_a_time_out_is_caught_behind_its_retries(run: Run) -> None:
    attempts: list[int] = []

    @task(timeout="20ms", retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
    async def hang(value: int) -> None:
        attempts.append(value)
        await asyncio.sleep(5)

    flow = Flow("w").attempt(hang).on_error(told, errors=TimeoutError).build()
    expected = ["timeout", "Task 'hang' timed out after 20ms", "hang", 1]
    assert run(flow, 1) == expected
    assert attempts == [1, 1]


@ways
def test_a_failure_of_a_handler_goes_outwards(run: Run) -> None:
    inner = Flow().attempt(decline).on_error(decline, name="again")
    flow = Flow("w").attempt(inner).on_error(told).build()
    assert run(flow, 7)[2] == "again"


@ways
def test_a_handler_ends_a_loop(run: Run) -> None:
    def step(value: int) -> LoopResult[int]:
        if value > 2:
            raise DeclinedError(str(value))
        return LoopResult.again(value + 1)

    def done(caught: dict[str, Any]) -> LoopResult[object]:
        return LoopResult.done(caught["error"]["path"])

    body = Flow().attempt(step).on_error(done)
    flow = Flow("w").loop(body).build()
    assert run(flow, 1) == "loop_0@2/attempt_0/@body/step"


@ways
def test_the_engines_own_errors_are_caught_by_their_words(run: Run) -> None:
    def again(value: int) -> LoopResult[int]:
        return LoopResult.again(value)

    body = Flow().loop(again, max_iterations=2)
    flow = Flow("w").attempt(body).on_error(told, errors="max_iterations").build()
    assert run(flow, 1)[0] == "max_iterations"
    route = Flow().route(lambda _: "z", keys=["a"]).branch("a", told).done()
    flow = Flow("w").attempt(route).on_error(told, errors="no_branch").build()
    assert run(flow, 1)[0] == "no_branch"


@ways
def test_a_result_that_is_no_json_is_caught(run: Run) -> None:
    flow = Flow("w").attempt(lambda _: object(), name="odd")
    assert run(flow.on_error(told, errors="encode").build(), 1)[0] == "encode"


@ways
@pytest.mark.parametrize("is_async", [True, False])
def test_nothing_catches_the_end_of_a_runs_time(run: Run, *, is_async: bool) -> None:
    def hang(_value: object) -> None:
        time.sleep(0.5)

    async def hang_async(_value: object) -> None:
        await asyncio.sleep(60)

    body = hang_async if is_async else hang
    flow = Flow("w", timeout="50ms").attempt(body).on_error(told).build()
    begun_s = time.monotonic()
    with pytest.raises(
        (TaskError, AssertionError), match="Workflow 'w' timed out after 50ms"
    ):
        run(flow, 1)
    assert time.monotonic() - begun_s < 30

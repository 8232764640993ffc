"""What a task knows about itself, and what ends a loop's body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from sayiir_es import Flow, run_workflow
from sayiir_es.core.authoring.loop_result import LoopResult
from sayiir_es.engine.attempts.task_context import (
    TaskExecutionContext,
    get_task_context,
)
from tests.engine.attempts.executor_harness import ExecutorHarness

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_task_may_use_its_context_as_the_manual_shows_it() -> None:
    """Type checkers read this: no look for None is asked for, and one is allowed."""

    def charge(order: str) -> str:
        attempt: int = get_task_context().attempt
        context = get_task_context()
        key: str = context.idempotency_key
        assert_type(get_task_context(), TaskExecutionContext | Any)
        return f"{order} {attempt} {key} {context.cancelled}"

    def charge_anywhere(order: str) -> str:
        context = get_task_context()
        return order if context is None else f"{order} {context.attempt}"

    flow = Flow("pay").then(charge).then(charge_anywhere).build()
    assert run_workflow(flow, "o-7") == "o-7 1 pay/charge False 1"
    assert charge_anywhere("o-7") == "o-7"


def giver(result: object) -> Callable[[object], object]:
    def gives(_: object) -> object:
        return result

    return gives


async def test_contexts_do_not_leak_between_a_thousand_attempts() -> None:
    harness = ExecutorHarness(slots=50)

    def key() -> str:
        context = get_task_context()
        assert context is not None
        assert context.attempt == 2
        assert context.deadline_at == 77
        assert context.workflow_metadata == {"tier": 1}
        return context.idempotency_key

    async def asynchronous(_: object) -> str:
        before = key()
        await asyncio.sleep(0)
        assert key() == before
        return before

    def synchronous(_: object) -> str:
        return key()

    attempts = [
        harness.attempt(
            asynchronous if number % 2 else synchronous, metadata='{"tier":1}'
        )
        for number in range(1000)
    ]
    for attempt in attempts:
        harness.executor.enqueue(attempt)
    for attempt in attempts:
        expected = f'"{attempt.instance_id}/1/a"'.encode()
        assert (await harness.outcome_of(attempt)).output == expected
    assert get_task_context() is None
    await harness.executor.close()


@pytest.mark.parametrize(
    ("result", "loop", "output"),
    [
        (LoopResult.again(0), "again", b"0"),
        (LoopResult.done(None), "done", b"null"),
        ({"_loop": "done", "value": []}, "done", b"[]"),
    ],
)
async def test_what_ends_a_loops_body_says_how_it_goes_on(
    result: object, loop: str, output: bytes
) -> None:
    harness = ExecutorHarness()
    attempt = harness.attempt(giver(result), ends_loop=True)
    harness.executor.enqueue(attempt)
    outcome = await harness.outcome_of(attempt)
    assert (outcome.loop, outcome.output) == (loop, output)
    await harness.executor.close()


async def test_anything_else_at_the_end_of_a_loops_body_fails_for_good() -> None:
    harness = ExecutorHarness()
    attempt = harness.attempt(giver(5), ends_loop=True)
    harness.executor.enqueue(attempt)
    outcome = await harness.outcome_of(attempt)
    assert (outcome.error_type, outcome.retriable) == ("bad_loop_result", False)
    await harness.executor.close()

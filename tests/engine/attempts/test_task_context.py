"""What a task knows about itself, and what ends a loop's body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.loop_result import LoopResult
from sayiir_es.engine.attempts.task_context import get_task_context
from tests.engine.attempts.executor_harness import Desk

if TYPE_CHECKING:
    from collections.abc import Callable


def giver(result: object) -> Callable[[object], object]:
    def gives(_: object) -> object:
        return result

    return gives


async def test_contexts_do_not_leak_between_a_thousand_attempts() -> None:
    desk = Desk(slots=50)

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

    jobs = [
        desk.job(asynchronous if number % 2 else synchronous, metadata='{"tier":1}')
        for number in range(1000)
    ]
    for job in jobs:
        desk.executor.enqueue(job)
    for job in jobs:
        expected = f'"{job.instance_id}/1/a"'.encode()
        assert (await desk.of(job)).output == expected
    assert get_task_context() is None
    await desk.executor.close()


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
    desk = Desk()
    job = desk.job(giver(result), ends_loop=True)
    desk.executor.enqueue(job)
    outcome = await desk.of(job)
    assert (outcome.loop, outcome.output) == (loop, output)
    await desk.executor.close()


async def test_anything_else_at_the_end_of_a_loops_body_fails_for_good() -> None:
    desk = Desk()
    job = desk.job(giver(5), ends_loop=True)
    desk.executor.enqueue(job)
    outcome = await desk.of(job)
    assert (outcome.error_type, outcome.retriable) == ("bad_loop_result", False)
    await desk.executor.close()

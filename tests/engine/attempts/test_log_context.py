"""What a task logs says of which attempt it is."""

from __future__ import annotations

from structlog.contextvars import bind_contextvars, get_contextvars

from tests.engine.attempts.executor_harness import ExecutorHarness


async def test_each_line_of_an_attempt_names_it_and_nothing_of_another() -> None:
    harness = ExecutorHarness()
    lines: list[dict[str, object]] = []

    def on_a_thread(_: object) -> None:
        lines.append(get_contextvars())
        bind_contextvars(order="of this attempt alone")

    async def on_the_loop(_: object) -> None:
        on_a_thread(None)

    for function in (on_a_thread, on_the_loop, on_a_thread, on_the_loop):
        await harness.run(function)
    await harness.executor.close()
    assert lines == [
        {"workflow": "w", "instance_id": f"i{n}", "task_id": "a", "attempt": 2}
        for n in range(1, 5)
    ]
    assert "instance_id" not in get_contextvars()

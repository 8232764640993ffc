"""Each failed attempt and each failed run leaves one line, with its traceback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sayiir_es import Flow, RetryPolicy, task
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import Iterable


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
async def charge(_value: int) -> int:
    raise ValueError("declined")


@task
async def fetch(value: int) -> int:
    return value


def lines_of(logs: Iterable[Any], name: str) -> list[Any]:
    return [line for line in logs if line["event"] == name]


async def test_a_failure_is_a_warning_the_last_one_and_the_runs_end_errors() -> None:
    harness = EngineHarness()
    with capture_logs() as logs:
        async with harness.worker(Flow("orders").then(fetch).then(charge).build()):
            await harness.command("StartWorkflow", workflow="orders", input=1)
            await harness.until_kind("WorkflowFailed")
    first, last = lines_of(logs, "task.attempt_failed")
    assert (first["log_level"], last["log_level"]) == ("warning", "error")
    for number, line in enumerate((first, last), 1):
        assert (line["instance_id"], line["workflow"]) == ("i", "orders")
        assert (line["task_id"], line["attempt"]) == ("charge", number)
        assert line["error_type"] == "builtins.ValueError"
        assert line["reason"] == "ValueError: declined"
        assert line["source_line"].endswith(" in charge")
        assert "ValueError: declined" in line["exception"]
    assert first["next_retry_at"].endswith("Z")
    (failed,) = lines_of(logs, "workflow.failed")
    assert failed["log_level"] == "error"
    assert (failed["instance_id"], failed["path"]) == ("i", "charge")


async def test_a_time_out_leaves_a_line_without_a_traceback() -> None:
    harness = EngineHarness()

    @task(timeout="10ms")
    async def hang(_value: int) -> None:
        await asyncio.Event().wait()

    with capture_logs() as logs:
        async with harness.worker(Flow("slow").then(hang).build()):
            await harness.command("StartWorkflow", workflow="slow", input=1)
            await harness.until_kind("WorkflowFailed")
    (line,) = lines_of(logs, "task.attempt_failed")
    assert line["error_type"] == "timeout"
    assert "exception" not in line


async def test_a_failure_that_is_caught_is_a_warning_and_no_run_fails() -> None:
    harness = EngineHarness()
    flow = Flow("orders").then(fetch).attempt(charge).on_error(fetch, name="mend")
    with capture_logs() as logs:
        async with harness.worker(flow.build()):
            await harness.command("StartWorkflow", workflow="orders", input=1)
            await harness.until_kind("WorkflowCompleted")
    lines = lines_of(logs, "task.attempt_failed")
    assert [line["log_level"] for line in lines] == ["warning", "warning"]
    assert "next_retry_at" not in lines[1]
    (caught,) = lines_of(logs, "workflow.error_caught")
    assert (caught["log_level"], caught["task_id"]) == ("info", "charge")
    assert (caught["path"], caught["error_type"]) == ("attempt_0", "ValueError")
    assert not lines_of(logs, "workflow.failed")

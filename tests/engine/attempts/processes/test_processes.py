"""Attempts in processes: what one does is its own outcome, and nobody else's."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from structlog.contextvars import get_contextvars

from sayiir_es import Flow
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.engine.attempts.processes.process_pool import THREADS_KEPT_MAX
from tests.captured_logs import capture_logs
from tests.engine.attempts.processes import process_tasks as tasks
from tests.engine.attempts.processes.process_harness import (
    harness,
    is_alive,
    text_of,
    until,
    wait_for_end,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class _Records(logging.Handler):
    """What is logged, with what structlog has bound where it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[logging.LogRecord, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record, get_contextvars()))


async def test_results_and_what_a_task_is_told() -> None:
    async with harness(1) as one:
        assert await one.result_of(tasks.double, "ab") == "abab"
        assert await one.result_of(tasks.double_async, 4) == 8
        assert await one.result_of(tasks.NAMED, 5) == 2.5
        assert await one.result_of(tasks.pid_of) != os.getpid()
        assert await one.result_of(tasks.told) == {
            "instance": "i5",
            "attempt": 2,
            "deadline": 77,
            "metadata": {"owner": "shop"},
            "key": "i5/1/told",
            "workflow": "w",
            "run": 1,
        }


async def test_errors_are_told_as_elsewhere() -> None:
    async with harness(1) as one:
        outcome = await one.run(tasks.fails)
        assert (outcome.result, outcome.error_type) == ("failed", "ValueError")
        assert outcome.error == "ValueError: no such order"
        assert outcome.retriable
        details = outcome.details
        assert details.error_class == "builtins.ValueError"
        assert details.causes == ("KeyError: 'inner'",)
        assert details.source_line.endswith("in fails")
        assert "child.py" not in details.traceback
        assert outcome.error_bases == ("builtins.ValueError", "builtins.Exception")

        unreadable = await one.run(tasks.returns_what_json_has_not)
        assert (unreadable.error_type, unreadable.retriable) == ("encode", False)
        assert (await one.run(tasks.raises_exit)).error_type == "SystemExit"


async def test_heartbeats_are_told_to_the_worker() -> None:
    async with harness(1) as one:
        attempt = one.start(tasks.beats, 3)
        await one.outcome_of(attempt)
        assert attempt.beats == 4


async def test_another_function_of_the_same_graph_is_told_apart() -> None:
    async with harness(1) as one:
        assert await one.result_of(tasks.first_of_a_name) == "first"
        assert await one.result_of(tasks.second_of_a_name) == "second"


async def test_a_run_of_another_graph_goes_on_with_today_s_functions() -> None:
    earlier = Flow("w").then(tasks.told).then(tasks.double).build().graph
    async with harness(1) as one:
        one.registry.publish(record_of_graph(earlier))
        today = Flow("w", metadata={"owner": "new"}).then(tasks.told).build()
        one.registry.register(today)
        outcome = await one.outcome_of(one.start_graph(earlier))
        assert outcome.output is not None
        assert json.loads(outcome.output)["metadata"] is None
        assert (await one.result_of(today))["metadata"] == {"owner": "new"}


async def test_large_values_pass_and_too_large_ones_fail() -> None:
    async with harness(1) as one:
        assert await one.result_of(tasks.size_of, "x" * 20_000_000) == 20_000_000
        assert len(await one.result_of(tasks.repeats, 99_000)) == 99_000
        outcome = await one.run(tasks.repeats, 200_000)
        assert (outcome.error_type, outcome.retriable) == ("too_large", False)


DEATHS = {
    tasks.kills_itself: "ended by SIGKILL (9)",
    tasks.exits: "ended with exit code 3",
    tasks.crashes: "ended by SIGSEGV (11)",
    tasks.writes_to_the_worker: "wrote into its connection",
    tasks.closes_everything: "lost its connection",
}


async def test_a_process_that_dies_fails_its_attempt_alone(tmp_path: Path) -> None:
    async with harness(2) as one:
        innocent = one.start(tasks.looks_for_cancel, str(tmp_path / "innocent"))
        process = int(await text_of(tmp_path / "innocent"))
        for function, cause in DEATHS.items():
            outcome = await one.run(function)
            assert (outcome.result, outcome.error_type) == ("failed", "process_died")
            assert cause in outcome.error
            assert outcome.retriable
            assert not one.has_outcome(innocent)
            assert is_alive(process)
            # The seat has another process.
            assert await one.result_of(tasks.double, 1) == 2
        one.executor.request_cancel(innocent, 30.0)
        assert (await one.outcome_of(innocent)).output == b'"cancelled"'


async def test_a_time_out_kills(tmp_path: Path) -> None:
    async with harness(1) as one:
        for function in (tasks.never_returns, tasks.swallows_cancellation):
            file = tmp_path / function.__name__
            attempt = one.start(function, str(file))
            process = int(await text_of(file))
            one.executor.abandon(attempt, report=True)
            await wait_for_end(process)
            assert await one.result_of(tasks.double, 1) == 2
            assert not one.has_outcome(attempt)


async def test_a_time_out_kills_what_cannot_listen(tmp_path: Path) -> None:
    async with harness(1) as one:
        for function in (tasks.stops_itself, tasks.holds_the_interpreter):
            file = tmp_path / function.__name__
            attempt = one.start(function, str(file))
            process = int(await text_of(file))
            one.executor.abandon(attempt, report=True)
            await wait_for_end(process)


async def test_a_kill_reaches_what_the_attempt_began(tmp_path: Path) -> None:
    async with harness(1) as one:
        attempt = one.start(tasks.leaves_a_child, str(tmp_path / "pid"))
        child = int(await text_of(tmp_path / "pid"))
        one.executor.abandon(attempt, report=True)
        await wait_for_end(child)


async def test_a_cancel_is_told_and_then_kills(tmp_path: Path) -> None:
    async with harness(2) as one:
        listens = one.start(tasks.looks_for_cancel, str(tmp_path / "listens"))
        stays = one.start(tasks.never_returns, str(tmp_path / "stays"))
        await text_of(tmp_path / "listens")
        process = int(await text_of(tmp_path / "stays"))
        one.executor.request_cancel(listens, 30.0)
        one.executor.request_cancel(stays, 0.05)
        assert (await one.outcome_of(listens)).output == b'"cancelled"'
        assert (await one.outcome_of(stays)).result == "withdrawn"
        await wait_for_end(process)


async def test_a_cancel_interrupts_what_is_awaited_and_the_process_stays(
    tmp_path: Path,
) -> None:
    async with harness(1) as one:
        attempt = one.start(tasks.ends_when_cancelled, str(tmp_path / "pid"))
        process = int(await text_of(tmp_path / "pid"))
        one.executor.request_cancel(attempt, 0.05)
        assert (await one.outcome_of(attempt)).result == "withdrawn"
        assert await one.result_of(tasks.pid_of) == process

        swallows = one.start(tasks.swallows_cancellation, str(tmp_path / "other"))
        await text_of(tmp_path / "other")
        one.executor.request_cancel(swallows, 0.05)
        assert (await one.outcome_of(swallows)).result == "withdrawn"
        await wait_for_end(process)


async def test_a_cancel_before_its_process_is_there_is_told(tmp_path: Path) -> None:
    async with harness(1) as one:
        attempt = one.start(tasks.looks_for_cancel, str(tmp_path / "pid"))
        await until(one.executor.running)
        one.executor.request_cancel(attempt, 30.0)
        assert (await one.outcome_of(attempt)).output == b'"cancelled"'


async def test_an_attempt_that_eats_memory_is_killed_and_others_are_not() -> None:
    async with harness(2) as one:
        eats = one.start(tasks.eats_memory)
        modest = await one.result_of(tasks.modest)
        outcome = await one.outcome_of(eats)
        assert (outcome.result, outcome.error_type) == ("failed", "out_of_memory")
        assert "at most 400 MiB" in outcome.error
        assert outcome.retriable
        assert is_alive(modest)


async def test_the_worker_limits_memory_where_the_task_does_not() -> None:
    async with harness(1, memory_bytes=tasks.BASE_MEMORY) as one:
        outcome = await one.run(tasks.grows)
        assert outcome.error_type == "out_of_memory"


async def test_a_process_that_keeps_memory_is_replaced() -> None:
    async with harness(1, memory_bytes=tasks.BASE_MEMORY) as one:
        first = await one.result_of(tasks.keeps_memory, 300)
        await wait_for_end(first)
        assert await one.result_of(tasks.pid_of) != first


async def test_a_process_that_keeps_threads_is_replaced() -> None:
    async with harness(1) as one:
        first = await one.result_of(tasks.leaks_threads, 3)
        assert await one.result_of(tasks.leaks_threads, THREADS_KEPT_MAX) == first
        await wait_for_end(first)
        assert await one.result_of(tasks.pid_of) != first


async def test_a_forked_child_reports_nothing(tmp_path: Path) -> None:
    async with harness(1) as one:
        process = await one.result_of(tasks.forks_and_returns, str(tmp_path / "status"))
        assert os.waitstatus_to_exitcode(int(await text_of(tmp_path / "status"))) == 1
        assert await one.result_of(tasks.pid_of) == process


async def test_log_lines_are_written_here_with_their_ids() -> None:
    handler, shop = _Records(), logging.getLogger("shop")
    shop.addHandler(handler)
    shop.setLevel(logging.INFO)  # whatever the root's is
    try:
        async with harness(1) as one:
            await one.run(tasks.logs, "said")
    finally:
        shop.removeHandler(handler)
        shop.setLevel(logging.NOTSET)
    (said, bound), (wrong, also_bound) = handler.records
    assert (said.name, said.levelname) == ("shop.orders", "WARNING")
    assert said.getMessage() == "said and more"
    assert vars(said)["order"] == 7
    assert vars(said)["odd"] == "{1, 2}"
    assert said.funcName == "logs"
    assert said.pathname.endswith("process_tasks.py")
    assert "invalid literal for int" in wrong.getMessage()
    assert (
        bound
        == also_bound
        == {
            "workflow": "w",
            "task_id": "logs",
            "attempt": 2,
            "instance_id": "i1",
            "customer": "c-1",
        }
    )
    assert "customer" not in get_contextvars()


async def test_what_is_printed_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    async with harness(1) as one:
        assert await one.result_of(tasks.prints, "hello") == "hello"
    printed = capfd.readouterr().out
    assert "hello\n" in printed
    assert "raw\n" in printed


async def test_many_attempts_need_no_more_processes_than_there_may_be() -> None:
    async with harness(3) as one:
        attempts = [one.start(tasks.counts) for _ in range(100)]
        found = [(await one.outcome_of(attempt)).output for attempt in attempts]
    calls = [tuple(map(int, data.strip(b"[]").split(b","))) for data in found if data]
    assert len(calls) == 100
    processes = {process for _, process in calls}
    assert 1 <= len(processes) <= 3
    most = {process: max(n for n, p in calls if p == process) for process in processes}
    assert sum(most.values()) == 100


async def test_attempts_in_processes_take_no_slots_of_others(tmp_path: Path) -> None:
    async with harness(1) as one:
        files = [tmp_path / str(number) for number in range(20)]
        attempts = [one.start(tasks.never_returns, str(file)) for file in files]
        await text_of(files[0])

        async def ends(_: object) -> str:
            return "ended"

        assert (await one.run(ends)).output == b'"ended"'
        state = one.executor.observe()
        assert (state.running, state.queued, state.slots) == (1, 19, 5)
        for attempt in attempts[1:]:
            assert one.executor.withdraw(attempt)
        one.executor.abandon(attempts[0], report=True)


async def test_a_task_that_nobody_can_import_fails_with_words() -> None:
    async with harness(1) as one:
        outcome = await one.run(tasks.local_task(), 1)
        assert (outcome.error_type, outcome.retriable) == ("not_importable", False)
        assert "local_task.<locals>.local" in outcome.error
        assert await one.result_of(tasks.double, 1) == 2


async def test_a_process_that_cannot_begin_fails_its_attempts_and_is_tried_again() -> (
    None
):
    async with harness(1, on_startup=tasks.refuses_to_begin) as one:
        with capture_logs() as lines:
            for _ in range(2):
                outcome = await one.run(tasks.double, 1)
                assert outcome.error_type == "process_died"
                assert "no database" in outcome.error
        assert {line["event"] for line in lines} == {"process.not_started"}


async def test_an_idle_process_that_dies_is_replaced() -> None:
    async with harness(1) as one:
        with capture_logs() as lines:
            first = await one.result_of(tasks.dies_later)
            await until(lambda: lines)
        assert [line["event"] for line in lines] == ["process.ended"]
        assert "ended with exit code 5" in lines[0]["reason"]
        assert await one.result_of(tasks.pid_of) != first


async def test_resources_are_made_once_in_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCESS_TEST_DIR", str(tmp_path))

    def counted() -> tuple[int, int]:
        return len(list(tmp_path.glob("begun-*"))), len(list(tmp_path.glob("ended-*")))

    async with harness(
        1, on_startup=tasks.begins, on_shutdown=tasks.ends_resources
    ) as one:
        for _ in range(3):
            assert await one.result_of(tasks.uses_pool, 1) == ["pool", True]
        assert counted() == (1, 0)
    assert counted() == (1, 1)


async def test_all_processes_end_with_the_executor(tmp_path: Path) -> None:
    async with harness(2) as one:
        one.start(tasks.never_returns, str(tmp_path / "pid"))
        busy = int(await text_of(tmp_path / "pid"))
        idle = await one.result_of(tasks.pid_of)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    await wait_for_end(busy)
    await wait_for_end(idle)

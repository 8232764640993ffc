"""S-16 to S-33: parking, clocks, retries and time-outs."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    TaskError,
    Worker,
    WorkflowClient,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    send_signal,
    task,
    unpause_workflow,
)
from sayiir_es.core.model.events import DelayStarted, RetryRecorded
from tests.sayiir.sample_tasks import (
    RecordingFunction,
    add_one,
    boom,
    double,
    history,
    kinds,
    resume_until_ended,
    same,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = RetryPolicy(max_retries=2, initial_delay_secs=0.001)


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_s16_a_delay_parks_even_a_short_one(
    seconds: float, backend: InMemoryBackend
) -> None:
    flow = Flow().delay("nap", seconds).then(add_one).build()
    assert run_durable_workflow(flow, "nap", 1, backend).is_waiting()
    assert resume_until_ended(flow, "nap", backend).output == 2


def test_s17_a_delay_at_the_end_gives_what_flowed_through(
    backend: InMemoryBackend,
) -> None:
    flow = Flow().then(add_one).delay("nap", 0.001).build()
    assert run_durable_workflow(flow, "nap", 1, backend).is_waiting()
    assert resume_until_ended(flow, "nap", backend).output == 2


def test_s18_a_late_signal_beats_a_time_out_that_nobody_saw(
    backend: InMemoryBackend,
) -> None:
    flow = Flow().wait_for_signal("go", timeout=0.001).build()
    status = run_durable_workflow(flow, "late", 1, backend)
    assert status.is_awaiting_signal()
    time.sleep(0.01)  # past the time-out, which is the point
    send_signal("late", "go", {"late": True}, backend)
    assert resume_workflow(flow, "late", backend).output == {"late": True}


def test_s19_a_signal_that_timed_out_is_none(backend: InMemoryBackend) -> None:
    wait = Flow().wait_for_signal("go", timeout=0.001)
    ends, goes_on = wait.build(), wait.then(lambda value: [value]).build()
    run_durable_workflow(ends, "ends", 1, backend)
    run_durable_workflow(goes_on, "goes-on", 1, backend)
    status = resume_until_ended(ends, "ends", backend)
    assert (status.status, status.output) == ("completed", None)
    assert resume_until_ended(goes_on, "goes-on", backend).output == [None]


def test_s19_a_signal_that_timed_out_fails_where_that_is_asked_for(
    backend: InMemoryBackend,
) -> None:
    flow = Flow().wait_for_signal("go", timeout=0.001, on_timeout="fail").build()
    run_durable_workflow(flow, "fails", 1, backend)
    assert resume_until_ended(flow, "fails", backend).is_failed()


def test_s20_a_payload_takes_the_place_of_what_flowed(backend: InMemoryBackend) -> None:
    flow = Flow().then(add_one).wait_for_signal("go").then(same).build()
    run_durable_workflow(flow, "signal", 1, backend)
    send_signal("signal", "go", {"ok": True}, backend)
    assert resume_workflow(flow, "signal", backend).output == {"ok": True}


def test_s21_a_signal_that_came_before_is_taken_without_parking(
    backend: InMemoryBackend,
) -> None:
    send_signal("early", "go", 41, backend)
    flow = Flow().wait_for_signal("go").then(add_one).build()
    assert run_durable_workflow(flow, "early", 0, backend).output == 42


def test_s22_branches_wake_each_at_its_own_time(backend: InMemoryBackend) -> None:
    quick = Flow().delay("short", 0.001).then(add_one, name="quick")
    fork = Flow().fork().branch(quick, name="quick")
    fork.branch(Flow().delay("long", 600), name="late")
    flow = fork.join(same).build()
    parked = run_durable_workflow(flow, "fork", 1, backend)
    starts = [e.body for e in history(backend, "fork")]
    first = min(b.due_at for b in starts if isinstance(b, DelayStarted))
    assert parked.is_waiting()
    assert (parked.wake_at or "").endswith(f"{first % 1000:03}Z"), "the earliest"

    def has_run() -> bool:
        resume_workflow(flow, "fork", backend)
        return "TaskCompleted" in kinds(backend, "fork")

    until(has_run)
    assert resume_workflow(flow, "fork", backend).is_waiting()


def test_s23_signals_inside_branches_are_taken(backend: InMemoryBackend) -> None:
    fork = Flow().fork().branch(Flow().wait_for_signal("a").then(add_one), name="a")
    flow = fork.branch(Flow().wait_for_signal("b"), name="b").join(same).build()
    run_durable_workflow(flow, "fork", 0, backend)
    send_signal("fork", "b", "second", backend)
    assert resume_workflow(flow, "fork", backend).signal_name == "a"
    send_signal("fork", "a", 1, backend)
    output = resume_workflow(flow, "fork", backend).output
    assert output == {"a": 2, "b": "second"}


def test_s24_clocks_go_on_while_paused(backend: InMemoryBackend) -> None:
    flow = Flow().delay("nap", 0.02).then(add_one).build()
    due = run_durable_workflow(flow, "nap", 1, backend).wake_at
    pause_workflow("nap", backend)
    time.sleep(0.03)  # past the delay, which is the point
    assert resume_workflow(flow, "nap", backend).is_paused()
    unpause_workflow("nap", backend)
    status = resume_workflow(flow, "nap", backend)
    assert (status.status, status.output) == ("completed", 2), due


def test_s25_a_wake_up_is_fixed_when_the_delay_begins(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    flow = Flow().delay("nap", 600).build()
    due = run_durable_workflow(flow, "nap", 1, backend).wake_at
    assert resume_workflow(flow, "nap", backend).wake_at == due
    assert client.status("nap").wake_at == due


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_s26_there_are_as_many_attempts_as_retries_and_one(retries: int) -> None:
    policy = RetryPolicy(max_retries=retries, initial_delay_secs=0.001)
    recorder = RecordingFunction(boom)
    flow = Flow().then(task("counted", retries=policy)(recorder)).build()
    assert run_durable_workflow(flow, "durable", 1).is_failed()
    assert len(recorder.inputs) == retries + 1
    with pytest.raises(TaskError):
        run_workflow(flow, 1)
    assert len(recorder.inputs) == 2 * (retries + 1)


def test_s27_each_wait_is_the_one_before_times_the_multiplier(
    backend: InMemoryBackend,
) -> None:
    policy = RetryPolicy(4, 0.004, 1.5, max_delay_secs=0.008)
    flow = Flow().then(task("b", retries=policy)(RecordingFunction(boom))).build()
    run_durable_workflow(flow, "waits", 1, backend)
    waits = [
        event.body.next_retry_at - event.at
        for event in history(backend, "waits")
        if isinstance(event.body, RetryRecorded)
    ]
    assert waits == [4, 6, 8, 8], "floor(4 · 1.5^(k-1)), and no more than 8"


def test_s28_a_time_out_is_retried_as_an_error_is() -> None:
    calls: list[int] = []

    @task(timeout=0.03, retries=QUICK)
    def slow_at_first(value: int) -> int:
        calls.append(value)
        if len(calls) == 1:
            time.sleep(0.1)  # longer than its time-out, which is the point
        return value

    assert run_durable_workflow(Flow().then(slow_at_first).build(), "x", 3).output == 3
    assert len(calls) == 2


_end = threading.Event()
"""Of tasks that nobody waits for any longer."""


async def asleep(_: object) -> None:
    await asyncio.sleep(60)


def busy(_: object) -> None:
    _end.wait(60)


@pytest.mark.parametrize("function", [asleep, busy])
@pytest.mark.parametrize("place", ["top", "branch"])
def test_s29_time_outs_hold_for_sync_and_async_tasks(
    function: Callable[..., object], place: str
) -> None:
    slow = task("slow", timeout=0.03)(function)
    flow = (
        Flow().then(slow) if place == "top" else Flow().fork().branch(slow).join(same)
    )
    workflow, started_s = flow.build(), time.monotonic()
    _end.clear()
    status = run_durable_workflow(workflow, "late", 1)
    assert "timed out" in (status.error or "")
    with pytest.raises(TaskError, match="timed out"):
        run_workflow(workflow, 1)
    _end.set()
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize("value", [{1: 2, "1": 3}, math.nan, object()])
def test_s30_a_result_that_is_no_json_is_not_tried_again(value: object) -> None:
    recorder = RecordingFunction(lambda _: value)
    flow = Flow().then(task("counted", retries=QUICK)(recorder)).build()
    status = run_durable_workflow(flow, "codec", 1)
    assert status.is_failed()
    assert (status.error or "").startswith("TypeError: ")
    assert len(recorder.inputs) == 1


def test_s31_the_retries_of_a_body_are_of_each_iteration() -> None:
    calls: list[int] = []

    @task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.001))
    def fails_every_second_time(value: int) -> LoopResult[int]:
        calls.append(value)
        if len(calls) % 2:
            raise ValueError("again")
        return LoopResult.done(value) if value == 2 else LoopResult.again(value + 1)

    flow = Flow().loop(fails_every_second_time).build()
    assert run_durable_workflow(flow, "loop", 0).output == 2
    assert calls == [0, 0, 1, 1, 2, 2]


def test_s32_a_retry_says_whose_attempt_failed(backend: InMemoryBackend) -> None:
    flow = Flow().then(task("b", retries=QUICK)(RecordingFunction(boom))).build()
    run_durable_workflow(flow, "who", 1, backend)
    bodies = [event.body for event in history(backend, "who")]
    assert all(body.worker for body in bodies if isinstance(body, RetryRecorded))


@pytest.mark.parametrize("what", ["cancel", "pause"])
def test_s33_a_backoff_ends_at_once(
    what: str, backend: InMemoryBackend, client: WorkflowClient
) -> None:
    policy = RetryPolicy(max_retries=1, initial_delay_secs=600)
    flow = (
        Flow()
        .then(task("b", retries=policy)(RecordingFunction(boom)))
        .then(double)
        .build()
    )
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "backoff", 1)
        until(lambda: "RetryRecorded" in kinds(backend, "backoff"))
        if what == "cancel":
            client.cancel("backoff")
            assert client.status("backoff").is_cancelled()
        else:
            client.pause("backoff")
            assert client.status("backoff").is_paused()

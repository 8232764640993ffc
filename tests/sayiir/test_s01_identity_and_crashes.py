"""S-01 to S-15: equal names never meet, and a crash changes no result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    Worker,
    WorkflowClient,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    send_signal,
    task,
)
from sayiir_es.core.model.events import DeadlineSet, RetryRecorded, TaskFailed
from tests.sayiir.sample_tasks import (
    Crash,
    RecordingFunction,
    add_one,
    double,
    history,
    kinds,
    resume_until_ended,
    run_crashing,
    same,
    times_hundred,
    until,
    waits_for,
)

if TYPE_CHECKING:
    from sayiir_es import Workflow, WorkflowStatus


def result_of(flow: Workflow, value: object) -> object:
    """The output of a flow, the same in both engines."""
    durable = run_durable_workflow(flow, "any", value).output
    assert run_workflow(flow, value) == durable
    return durable


def test_s01_a_repeated_id_executes_again(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    flow = Flow().then(double).then(double).build()
    assert run_durable_workflow(flow, "twice", 5, backend).output == 20
    assert client.get_task_result("twice", "double") == 10, "the first of that name"


def test_s02_equal_ids_in_parent_and_child_never_meet() -> None:
    child = Flow().then(times_hundred, name="lambda_0").build()
    flow = Flow().then(add_one, name="lambda_0").then_flow(child).build()
    assert result_of(flow, 1) == 200


def test_s02_a_loop_and_a_route_after_a_child_with_the_same_run() -> None:
    def inner(value: int) -> LoopResult[int]:
        return LoopResult.done(value * 100)

    def outer(value: int) -> LoopResult[int]:
        return LoopResult.done(value + 1)

    child = Flow().loop(inner).route(lambda _: "a", keys=["a"]).branch("a", double)
    flow = (
        Flow().then_flow(child.done().build()).then(lambda envelope: envelope["result"])
    )
    flow = flow.loop(outer).route(lambda _: "b", keys=["b"]).branch("b", double).done()
    assert result_of(flow.build(), 1) == {"branch": "b", "result": 402}


def test_s03_a_child_that_is_composed_twice_runs_twice() -> None:
    child = Flow().then(double).build()
    assert result_of(Flow().then_flow(child).then_flow(child).build(), 5) == 20


def test_s04_a_branch_leaves_the_result_of_its_first_task_alone(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    flow = Flow().fork().branch(add_one, times_hundred).branch(double).join(same)
    status = run_durable_workflow(flow.build(), "fork", 1, backend)
    assert status.output == {"add_one": 200, "double": 2}
    assert client.get_task_result("fork", "add_one") == 2


@pytest.mark.parametrize("before", [0, 1, 3])
def test_s05_a_resumed_task_gets_its_own_input(
    before: int, backend: InMemoryBackend
) -> None:
    crash, flow = Crash(), Flow()
    for _ in range(before):
        flow = flow.then(add_one)
    workflow = flow.then(crash, name="crash").then(double).build()
    run_crashing(workflow, "chain", 1, backend)
    assert resume_workflow(workflow, "chain", backend).output == (1 + before) * 2
    assert crash.inputs == [1 + before, 1 + before]


@pytest.mark.parametrize("after_a_task", [False, True])
def test_s06_a_loop_goes_on_with_the_value_it_carried(
    after_a_task: bool,  # noqa: FBT001 (pytest passes it by name)
    backend: InMemoryBackend,
) -> None:
    crash = Crash(at_call=4)

    def down(value: int) -> LoopResult[int]:
        crash(value)
        return LoopResult.done(value) if value == 0 else LoopResult.again(value - 1)

    flow: Flow[Any, Any] = Flow()
    if after_a_task:
        flow.then(same)
    workflow = flow.loop(down, max_iterations=6).build()
    run_crashing(workflow, "loop", 5, backend)
    assert resume_workflow(workflow, "loop", backend).output == 0
    assert crash.inputs == [5, 4, 3, 2, 2, 1, 0]


def test_s07_a_branch_that_crashed_between_its_tasks_is_not_done(
    backend: InMemoryBackend,
) -> None:
    crash = Crash()
    fork = Flow().fork().branch(add_one, crash, double).branch(times_hundred)
    flow = fork.join(same).build()
    run_crashing(flow, "fork", 1, backend)
    status = resume_workflow(flow, "fork", backend)
    assert status.output == {"add_one": 4, "times_hundred": 100}


@pytest.mark.parametrize("crashing", ["first", "last"])
def test_s08_branches_of_a_root_get_what_the_workflow_got(
    crashing: str, backend: InMemoryBackend
) -> None:
    crash, other = Crash(), RecordingFunction(double)
    first_task, second_task = (crash, other) if crashing == "first" else (other, crash)
    fork = Flow().fork().branch(first_task, name="one").branch(second_task, name="two")
    flow = fork.join(same).build()
    run_crashing(flow, "fork", 7, backend)
    output = resume_workflow(flow, "fork", backend).output
    expected = [7, 14] if crashing == "first" else [14, 7]
    assert output == dict(zip(("one", "two"), expected, strict=True))
    assert set(other.inputs) == {7}


def test_s09_a_route_chooses_once(backend: InMemoryBackend) -> None:
    choose, crash = RecordingFunction(lambda _: "a"), Crash()
    flow = Flow().route(choose, keys=["a"]).branch("a", add_one, crash).done().build()
    run_crashing(flow, "route", 1, backend)
    output = resume_workflow(flow, "route", backend).output
    assert output == {"branch": "a", "result": 2}
    assert choose.inputs == [1]
    assert crash.inputs == [2, 2]


def test_s10_an_attempt_keeps_one_deadline(backend: InMemoryBackend) -> None:
    flow = Flow().then(task(timeout=0.05)(lambda _: until(lambda: False))).build()
    status = run_durable_workflow(flow, "late", 1, backend)
    assert "timed out after 50ms" in (status.error or "")
    events = history(backend, "late")
    [deadline] = [e.body for e in events if isinstance(e.body, DeadlineSet)]
    [failed] = [e for e in events if isinstance(e.body, TaskFailed)]
    assert failed.at >= deadline.deadline_at


def test_s11_a_backoff_is_waited_for_by_whoever_comes_next(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    calls: list[int] = []

    @task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.3))
    def flaky(value: int) -> int:
        calls.append(value)
        if len(calls) == 1:
            raise ValueError("not yet")
        return value

    flow = Flow().then(flaky).build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "backoff", 1)
        until(lambda: "RetryRecorded" in kinds(backend, "backoff"))
    assert resume_workflow(flow, "backoff", backend).is_completed()
    events = history(backend, "backoff")
    [retry] = [e.body for e in events if isinstance(e.body, RetryRecorded)]
    assert events[-1].at >= retry.next_retry_at
    assert len(calls) == 2


def test_s12_a_resume_repeats_no_event(backend: InMemoryBackend) -> None:
    flow = Flow().then(add_one).then(double).wait_for_signal("go").build()
    run_durable_workflow(flow, "parked", 1, backend)
    before = kinds(backend, "parked")
    for _ in range(3):
        resume_workflow(flow, "parked", backend)
    assert kinds(backend, "parked") == before


def test_s13_two_resumes_at_once_execute_once(backend: InMemoryBackend) -> None:
    recorder = RecordingFunction(double)
    flow = Flow().delay("nap", 0.02).then(recorder, name="counted").build()
    run_durable_workflow(flow, "nap", 4, backend)

    def resume(_: int) -> WorkflowStatus:
        return resume_until_ended(flow, "nap", backend)

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(resume, range(4)))
    assert [status.output for status in statuses] == [8] * 4
    assert recorder.inputs == [4]


def test_s14_a_terminated_run_leaves_no_signal_behind(
    backend: InMemoryBackend,
) -> None:
    flow = Flow().wait_for_signal("first").wait_for_signal("go").build()
    run_durable_workflow(flow, "again", 1, backend)
    send_signal("again", "go", "of run 1", backend)
    status = run_durable_workflow(flow, "again", 2, backend, "terminate_existing")
    assert (status.run, status.signal_name) == (2, "first")
    send_signal("again", "first", None, backend)
    assert resume_workflow(flow, "again", backend).signal_name == "go"


def test_s14_an_outcome_of_a_terminated_run_is_rejected(
    backend: InMemoryBackend, client: WorkflowClient
) -> None:
    release: list[str] = []

    def slow(value: str) -> str:
        if value == "old":
            until(lambda: bool(release))
        return value

    flow = Flow().then(slow).build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "again", "old")
        waits_for(client, "again", "in_progress")
        WorkflowClient(backend, conflict_policy="terminate_existing").submit(
            flow, "again", "new"
        )
        release.append("now")
        assert client.wait("again", timeout=30).output == "new"
        until(lambda: "OutcomeRejected" in kinds(backend, "again"))
    assert client.status("again").output == "new"


@pytest.mark.parametrize("last", ["delay", "signal"])
def test_s15_a_child_that_ends_parked_returns_to_its_parent(
    last: str, backend: InMemoryBackend
) -> None:
    child = Flow().then(add_one)
    child = child.delay("nap", 0) if last == "delay" else child.wait_for_signal("go")
    flow = Flow().then_flow(child.build()).then(double).build()
    assert not run_durable_workflow(flow, "parent", 1, backend).is_completed()
    if last == "signal":
        send_signal("parent", "go", 2, backend)
    assert resume_until_ended(flow, "parent", backend).output == 4

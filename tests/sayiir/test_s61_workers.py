"""S-61 to S-72: what workers run, in which order, and what nobody loses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    BackendError,
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    LoopResult,
    Worker,
    WorkflowClient,
    get_task_context,
    resume_workflow,
    task,
)
from tests.sayiir.sample_tasks import (
    RecordingFunction,
    add_one,
    boom,
    double,
    same,
    until,
    waits_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Workers run alike wherever the log is; on Kafka too, see `tests/kafka`."""
    in_memory = request.param == "memory"
    backend = InMemoryBackend() if in_memory else EmbeddedBackend(tmp_path / "l.db")
    with backend:
        yield backend


def once(value: int) -> LoopResult[int]:
    return LoopResult.done(value)


FIRSTS = {
    "delay": Flow().delay("nap", 0.001),
    "signal": Flow().wait_for_signal("go"),
    "route": Flow().route(lambda _: "a", keys=["a"]).branch("a", same).done(),
    "loop": Flow().loop(once),
    "child": Flow().then_flow(Flow().then(same).build()),
    "fork": Flow().fork().branch(same, name="a").branch(same, name="b").join(same),
}


@pytest.mark.parametrize("first", FIRSTS)
def test_s61_a_worker_runs_whatever_comes_first(
    first: str, backend: Backend, client: WorkflowClient
) -> None:
    flow = FIRSTS[first].build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, first, 3)
        if first == "signal":
            client.send_signal(first, "go", 3)
        output = client.wait(first, timeout=30).output
    expected = {"route": {"branch": "a", "result": 3}, "fork": {"a": 3, "b": 3}}
    assert output == expected.get(first, 3)


def test_s62_behind_a_fork_each_task_gets_its_own_input(
    backend: Backend, client: WorkflowClient
) -> None:
    fork = Flow().fork().branch(add_one, double).branch(double, add_one)
    flow = fork.join(same).then(same).build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "fork", 10)
        output = client.wait("fork", timeout=30).output
    assert output == {"add_one": 22, "double": 21}


def test_s63_priorities_order_what_waits_for_a_slot(
    backend: Backend, client: WorkflowClient
) -> None:
    task_ids: list[str] = []
    release = threading.Event()

    def note(value: object) -> object:
        context = get_task_context()
        task_ids.append(context.task_id if context else "")
        release.wait(10)
        return value

    fork = Flow().fork()
    for name, priority in (("first", 1), ("minimal", 5), ("normal", 3), ("high", 2)):
        fork.branch(task(name, priority=priority)(RecordingFunction(note)))
    flow = fork.join(same).build()
    with Worker("w1", backend, max_concurrent_tasks=1).start([flow]):
        client.submit(flow, "order", 1)
        until(lambda: bool(task_ids))
        release.set()
        client.wait("order", timeout=30)
    assert task_ids == ["first", "high", "normal", "minimal"]


def test_s64_tags_hold_back_only_what_a_tagged_worker_lacks(
    backend: Backend, client: WorkflowClient
) -> None:
    tagged = (
        Flow("tagged").then(task("gpu", tags=["gpu"])(RecordingFunction(same))).build()
    )
    plain = Flow("plain").then(same).build()
    with Worker("w1", backend, tags=["cpu"]).start([tagged, plain]):
        client.submit(tagged, "tagged", 1)
        client.submit(plain, "plain", 1)
        assert client.wait("plain", timeout=30).is_completed()
        assert client.status("tagged").is_in_progress()
    with Worker("w2", backend).start([tagged]):
        assert client.wait("tagged", timeout=30).is_completed()


def test_s65_no_aging_interval_is_no_accident(
    backend: Backend, client: WorkflowClient
) -> None:
    flow = Flow().then(same).build()
    with Worker("w1", backend, aging_interval=0).start([flow]):
        client.submit(flow, "aged", 1)
        assert client.wait("aged", timeout=30).is_completed()


def test_s67_what_a_worker_left_behind_the_next_one_runs(
    backend: Backend, client: WorkflowClient
) -> None:
    flow = Flow().then(add_one).delay("nap", 0.02).then(double).build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "moved", 1)
        until(lambda: client.get_task_result("moved", "add_one") == 2)
    with Worker("w2", backend).start([flow]):
        assert client.wait("moved", timeout=30).output == 4


def test_s68_a_worker_without_workflows_ends_when_it_is_told(
    backend: Backend,
) -> None:
    handle = Worker("w1", backend).start([])
    for _ in range(2):
        handle.shutdown()
        handle.join()


def test_s69_resuming_beside_a_worker_is_safe(
    backend: Backend, client: WorkflowClient
) -> None:
    recorder = RecordingFunction(add_one)
    flow = Flow().then(recorder, name="counted").wait_for_signal("go").then(same)
    workflow = flow.build()
    with Worker("w1", backend, poll_interval=0.01).start([workflow]):
        client.submit(workflow, "both", 1)
        for _ in range(5):
            assert resume_workflow(workflow, "both", backend).is_awaiting_signal()
        client.send_signal("both", "go", "ok")
        assert resume_workflow(workflow, "both", backend).output == "ok"
    assert recorder.inputs == [1]


def test_s70_nothing_brings_back_what_has_ended(
    backend: Backend, client: WorkflowClient
) -> None:
    recorder = RecordingFunction(add_one)
    flow = Flow().then(recorder, name="counted").build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "ended", 1)
        client.wait("ended", timeout=30)
        with pytest.raises(BackendError):
            client.cancel("ended")
        with pytest.raises(BackendError):
            client.pause("ended")
        with pytest.raises(BackendError):
            client.send_signal("ended", "go", 1)
        assert resume_workflow(flow, "ended", backend).output == 2
    assert client.status("ended").output == 2
    assert recorder.inputs == [1]


def test_s71_a_signal_during_the_task_before_its_wait_is_not_lost(
    backend: Backend, client: WorkflowClient
) -> None:
    release = threading.Event()

    def slow(value: int) -> int:
        release.wait(10)
        return value

    flow = Flow().then(slow).wait_for_signal("go").build()
    with Worker("w1", backend).start([flow]):
        for number in range(5):
            client.submit(flow, f"s{number}", 1)
            waits_for(client, f"s{number}", "in_progress")
            client.send_signal(f"s{number}", "go", number)
        release.set()
        outputs = [client.wait(f"s{n}", timeout=30).output for n in range(5)]
    assert outputs == [0, 1, 2, 3, 4]


def test_s72_a_failure_in_a_worker_fails_the_instance(
    backend: Backend, client: WorkflowClient
) -> None:
    recorder = RecordingFunction(boom)
    flow = Flow().then(task("counted", retries=0)(recorder)).build()
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "bad", 1)
        status = client.wait("bad", timeout=30)
        resume_workflow(flow, "bad", backend)
    assert (status.status, status.error) == ("failed", "ValueError: bang")
    assert len(recorder.inputs) == 1

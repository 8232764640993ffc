"""What clients are told of partitions and workers, and of those that say nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    PartitionStatus,
    Worker,
    WorkflowClient,
    aio,
    task,
)
from sayiir_es.client import partitions
from sayiir_es.operations.partition_view import partition_view, worker_view
from sayiir_es.operations.text import to_json
from sayiir_es.wire import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend
    from sayiir_es.wire.partition_reports import PartitionReport

parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with backend:
        yield backend


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def only(client: WorkflowClient, *, counts: bool = False) -> PartitionStatus:
    [status] = client.partitions(counts=counts)
    return status


def test_an_owner_tells_how_far_it_is_and_what_runs(backend: Backend) -> None:
    release = threading.Event()

    @task(timeout="1h")
    def hold(_value: object) -> None:
        release.wait(30)

    holding = Flow("holding").then(hold).build()
    client = WorkflowClient(backend)
    worker = Worker("w1", backend, max_concurrent_tasks=2, tags=["cpu"])
    with worker.start([holding, parked]):
        client.submit(parked, "p")
        for number in range(3):
            client.submit(holding, f"h{number}")
        until(lambda: only(client).report is not None)
        until(lambda: getattr(only(client).report, "running_count", 0) == 2)
        status = only(client, counts=True)
        report = status.report
        assert report is not None
        assert (status.is_served, status.trouble, status.commands_behind) == (
            *(True, None),
            0,
        )
        assert status.owner_id == report.owner_id
        assert (report.worker_id, report.tags) == ("w1", ("cpu",))
        assert report.workflows == ("holding", "parked")
        assert report.instances == {"in_progress": 3, "awaiting_signal": 1}
        assert (report.slots, report.slots_used, report.slots_queued) == (2, 2, 1)
        assert report.queued_attempts == 1
        assert report.offset == report.events_end == status.events_end > 0
        assert report.next_command == report.commands_end == 4
        assert (report.events_behind, report.commands_behind) == (0, 0)
        assert len(report.checkpoint) == 64
        assert (report.undecided, report.undecided_count) == ((), 0)
        assert (report.timers_due, report.timer_overdue_ms) == (0, 0)
        assert report.serving_since <= report.now
        check_running(report)
        has_files = isinstance(backend, EmbeddedBackend)
        assert (report.store_bytes is not None) is has_files
        check_worker(client, status)
        release.set()


def check_running(report: PartitionReport) -> None:
    """What runs has a name, a number, and its times."""
    first = report.running[0]
    assert (first.workflow, first.path, first.attempt) == ("holding", "hold", 1)
    assert first.since is not None
    assert report.serving_since <= first.since <= report.now
    assert first.deadline_at is not None
    assert first.deadline_at > report.now


def check_worker(client: WorkflowClient, status: PartitionStatus) -> None:
    """The process says the same of itself."""
    report = status.report
    assert report is not None
    [process] = client.workers()
    assert (process.worker_id, process.owner_id) == ("w1", report.owner_id)
    assert (process.partitions, process.refused) == ((0,), {})
    assert (process.tags, process.workflows) == (("cpu",), report.workflows)
    assert process.is_announced
    assert "hold" in to_json(worker_view(process))
    assert report.checkpoint in to_json(partition_view(status))


def test_nobody_answers_and_it_is_said_soon_why(backend: Backend) -> None:
    client = WorkflowClient(backend)
    client.submit(parked, "p")  # the call owned the log for its time
    backend.close()
    began = time.monotonic()
    status = only(WorkflowClient(backend))
    assert time.monotonic() - began < 5
    assert (status.report, status.is_served) == (None, False)
    assert (status.commands_behind, status.has_no_worker) == (0, True)
    assert status.trouble == "no worker owns partition 0"
    assert status.fix == "start one with `sayiir-es worker run MODULE`"
    assert WorkflowClient(backend).workers() == ()


async def test_the_same_on_an_event_loop(backend: Backend) -> None:
    async with (
        await aio.Worker("w", backend).start([parked]),
        aio.WorkflowClient(backend) as client,
    ):
        await client.submit(parked, "p")
        [status] = await client.partitions()
        assert status.report is not None
        assert status.report.worker_id == "w"
        [worker] = await client.workers()
        assert worker.workflows == ("parked",)


def test_an_owner_of_an_older_build_is_told_as_such(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = WorkflowClient(backend)
    # As another build writes it.
    names = requests._REQUEST_NAMES  # pyright: ignore[reportPrivateUsage]
    with Worker("old", backend).start([parked]):
        client.submit(parked, "p")
        monkeypatch.setitem(names, requests.DescribePartition, "unheard-of")
        status = only(client)
    assert status.report is None
    assert "expected a request of" in str(status.trouble)
    assert "older build" in str(status.fix)


def test_an_owner_that_does_not_answer_is_not_waited_for(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop is held up by a task that never gives it back, as a bug may."""
    monkeypatch.setattr(partitions, "ANSWER_LIMIT_S", 0.2)
    held, release = threading.Event(), threading.Event()

    async def hold_up(_value: object) -> None:
        held.set()
        release.wait(30)

    stuck = Flow("stuck").then(hold_up).build()
    if isinstance(backend, InMemoryBackend):
        pytest.skip("its client and its worker share the loop")
    client = WorkflowClient(EmbeddedBackend(backend.path))  # type: ignore[attr-defined]
    with Worker("w", backend).start([stuck]):
        client.submit(stuck, "s", ack="log")
        assert held.wait(10)
        began = time.monotonic()
        status = only(client)
        assert time.monotonic() - began < 5
        release.set()
    assert status.report is None
    assert "no worker answered for partition 0" in str(status.trouble)
    assert "look at their logs" in str(status.fix)

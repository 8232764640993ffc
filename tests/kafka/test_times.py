"""Retries, time-outs and delays keep their times over the death of their worker."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.kafka.load import now_ms
from tests.kafka.pauses import owner_at
from tests.kafka.reader import CLAIM
from tests.kafka.verdict import violations
from tests.kafka.worker_process import SESSION_MS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.live_app import LiveApp
    from tests.kafka.reader import EventReader, ReadEvent

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

LIMIT_S = 60.0
TIMEOUT_MS = 2_000
AFTER_TAKE_OVER_MS = 500
AFTER_DUE_MS = 2_000


def executions(file: Path) -> list[float]:
    """When a task ran, in seconds of the machine's monotonic clock."""
    return [float(line) for line in file.read_text().split()] if file.exists() else []


def wait_for(reader: EventReader, instance_id: str, kind: str) -> ReadEvent:
    """The first event of a kind of an instance, once it is there."""
    reader.until(lambda: kind in reader.kinds(instance_id), LIMIT_S)
    return next(event for event in reader.of(instance_id) if event.kind == kind)


def last_claim_before(reader: EventReader, event: ReadEvent) -> ReadEvent:
    """The claim under which an event was written."""
    claims = reader.partitions[event.partition].claims
    return next(claim for claim in claims if claim.offset == event.claim)


def wait_until_ms(at_ms: int) -> None:
    """Wait until a time of the wall clock."""
    time.sleep(max(0, at_ms - now_ms()) / 1000)


def test_a_retried_task_runs_three_times_though_its_worker_dies_in_between(
    live_app: LiveApp,
) -> None:
    worker = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    file = live_app.folder / "flaky"
    producer.start("retrying", "retry-1", str(file))
    recorded = wait_for(reader, "retry-1", "RetryRecorded")
    worker.kill()
    assert len(executions(file)) == 1
    worker.start()
    wait_for(reader, "retry-1", "WorkflowFailed")
    ran = executions(file)
    assert len(ran) == 3
    first, second = (b - a for a, b in pairwise(ran))
    assert first >= 0.5
    assert second >= 1.0
    assert recorded.body["next_retry_at"] >= recorded.at + 500
    assert reader.kinds("retry-1").count("RetryRecorded") == 2
    assert violations(reader) == []


def test_a_time_out_fails_a_task_when_it_is_due(live_app: LiveApp) -> None:
    live_app.lone_worker()
    reader = live_app.reader()
    live_app.producer().start("stuck", "stuck-1", str(live_app.folder / "stuck"))
    deadline_set = wait_for(reader, "stuck-1", "DeadlineSet")
    failed = wait_for(reader, "stuck-1", "TaskFailed")
    assert deadline_set.body["deadline_at"] - deadline_set.at == TIMEOUT_MS
    assert TIMEOUT_MS <= failed.at - deadline_set.at <= TIMEOUT_MS + 300
    assert failed.body["timed_out"]
    assert failed.text("error_type") == "timeout"
    assert reader.kinds("stuck-1")[-1] == "WorkflowFailed"


@pytest.mark.parametrize("killed_after_ms", [200, 1_000, 1_990])
def test_a_time_out_is_kept_though_its_worker_dies(
    live_app: LiveApp, killed_after_ms: int
) -> None:
    workers = {worker.name: worker for worker in live_app.two_workers()}
    reader = live_app.reader()
    live_app.producer().start("stuck", "stuck-1", str(live_app.folder / "stuck"))
    deadline_set = wait_for(reader, "stuck-1", "DeadlineSet")
    owner = owner_at(reader.partitions[deadline_set.partition], deadline_set.at)
    wait_until_ms(deadline_set.at + killed_after_ms)
    killed = workers[owner].kill()
    failed = wait_for(reader, "stuck-1", "TaskFailed")
    claim = last_claim_before(reader, failed)
    latest = max(deadline_set.at + TIMEOUT_MS, claim.at + AFTER_TAKE_OVER_MS)
    print(  # noqa: T201 - the numbers are what is asked for
        f"\nkilled after {killed - deadline_set.at} ms, taken over after "
        f"{claim.at - killed} ms, failed {failed.at - deadline_set.at} ms after it "
        "began"
    )
    assert deadline_set.at + TIMEOUT_MS <= failed.at <= latest + 1_000
    assert failed.body["timed_out"]
    assert claim.at - killed <= SESSION_MS + 5_000
    assert violations(reader) == []


@pytest.mark.parametrize(
    ("workflow", "down_ms"),
    [
        pytest.param("delayed", 0, id="started again before it is due"),
        pytest.param("delayed", 4_000, id="started again after it was due"),
        pytest.param(
            "long-delayed",
            20_000,
            marks=[pytest.mark.long],
            id="of 30 s, started again before it is due",
        ),
        pytest.param(
            "long-delayed",
            33_000,
            marks=[pytest.mark.long],
            id="of 30 s, started again after it was due",
        ),
    ],
)
def test_a_delay_fires_when_it_is_due_though_everything_was_stopped(
    live_app: LiveApp, workflow: str, down_ms: int
) -> None:
    workers = live_app.two_workers()
    reader = live_app.reader()
    live_app.producer().start(workflow, "nap-1", str(live_app.folder / "nap"))
    began = wait_for(reader, "nap-1", "DelayStarted")
    for worker in workers:
        worker.kill()
    wait_until_ms(began.at + down_ms)
    for worker in workers:
        worker.start()
    elapsed = wait_for(reader, "nap-1", "DelayElapsed")
    wait_for(reader, "nap-1", "WorkflowCompleted")
    claims = reader.partitions[began.partition].claims
    claim = next(claim for claim in claims if claim.at > began.at)
    due = int(began.body["due_at"])
    print(  # noqa: T201 - the numbers are what is asked for
        f"\nfired {elapsed.at - due} ms after it was due, {elapsed.at - claim.at} ms "
        "after the claim"
    )
    assert due <= elapsed.at <= max(due, claim.at) + AFTER_DUE_MS
    assert claim.kind == CLAIM
    assert len(executions(live_app.folder / "nap")) == 1
    assert violations(reader) == []

"""Clients and helpers on a real Kafka: with a worker elsewhere, and without one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    BackendError,
    InstanceAlreadyExistsError,
    KafkaBackend,
    WorkflowClient,
    WorkflowError,
    resume_workflow,
    run_durable_workflow,
    send_signal,
)
from sayiir_es.client.bulk import IN_FLIGHT
from tests.kafka import flows
from tests.kafka.load_run import LIMIT_S
from tests.kafka.verdict import violations
from tests.kafka.worker_process import HEARTBEAT_MS, SESSION_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def backend(live_app: LiveApp) -> Iterator[KafkaBackend]:
    """The app as a backend of this process."""
    with KafkaBackend(
        live_app.bootstrap,
        app=live_app.app,
        state_dir=live_app.folder / "state-client",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
    ) as kafka_backend:
        yield kafka_backend


def until_status(client: WorkflowClient, instance_id: str, status: str) -> None:
    """Wait until an instance has a status."""
    end_s = time.monotonic() + LIMIT_S
    while client.status(instance_id).status != status:
        assert time.monotonic() < end_s, client.status(instance_id)


def test_a_client_starts_watches_and_reads_what_a_worker_runs(
    live_app: LiveApp, backend: KafkaBackend
) -> None:
    live_app.lone_worker()
    client = WorkflowClient(backend)
    assert client.submit(flows.chain_flow, "c-1", 1).workflow == "chain"
    result = client.wait("c-1", timeout="20s")
    assert result.is_completed()
    assert result.output == 6
    assert client.get_task_result("c-1", "second") == 3
    assert client.submit("greeting", "c-2", "you").workflow == "greeting"
    assert client.wait("c-2", timeout="20s").output == "hello you"
    with pytest.raises(InstanceAlreadyExistsError):
        client.submit(flows.chain_flow, "c-1", 1)
    with pytest.raises(WorkflowError, match="never-heard-of"):
        client.submit("never-heard-of", "c-3", 1)
    with pytest.raises(BackendError):
        client.status("nobody")
    assert violations(live_app.reader()) == []


def test_a_client_signals_pauses_and_cancels_what_a_worker_runs(
    live_app: LiveApp, backend: KafkaBackend
) -> None:
    live_app.lone_worker()
    client = WorkflowClient(backend)
    for instance_id in ("s-1", "s-2"):
        client.submit(flows.approval_flow, instance_id, "you")
        until_status(client, instance_id, "awaiting_signal")
    client.send_signal("s-1", "word", {"word": "yes"}, signal_id="mail-1")
    client.send_signal("s-1", "word", {"word": "yes"}, signal_id="mail-1")
    assert client.wait("s-1", timeout="20s").output == "YES"
    with pytest.raises(BackendError):
        client.send_signal("s-1", "word", {"word": "late"})

    client.pause("s-2", reason="lunch", paused_by="ana")
    paused = client.status("s-2")
    assert paused.is_paused()
    assert (paused.reason, paused.paused_by) == ("lunch", "ana")
    client.unpause("s-2")
    assert client.status("s-2").is_awaiting_signal()
    client.cancel("s-2", reason="enough", cancelled_by="bob")
    cancelled = client.wait("s-2", timeout="20s")
    assert cancelled.is_cancelled()
    assert (cancelled.reason, cancelled.cancelled_by) == ("enough", "bob")
    with pytest.raises(BackendError):
        client.unpause("s-2")
    assert violations(live_app.reader()) == []


def test_helpers_run_their_workflows_without_any_other_worker(
    live_app: LiveApp, backend: KafkaBackend
) -> None:
    result = run_durable_workflow(flows.chain_flow, "h-1", 1, backend)
    assert result.is_completed()
    assert result.output == 6
    parked = run_durable_workflow(flows.approval_flow, "h-2", "you", backend)
    assert parked.is_awaiting_signal()
    send_signal("h-2", "word", {"word": "go"}, backend)
    assert resume_workflow(flows.approval_flow, "h-2", backend).output == "GO"
    assert violations(live_app.reader()) == []


def test_a_command_that_no_worker_answers_says_so_and_is_decided_later(
    live_app: LiveApp, backend: KafkaBackend
) -> None:
    live_app.lone_worker().terminate()  # made the topics
    client = WorkflowClient(backend)
    with pytest.raises(BackendError, match="sayiir-es worker run"):
        client.submit(flows.greeting_flow, "w-1", "you", timeout=1)
    live_app.lone_worker("w2")
    assert client.wait("w-1", timeout="20s").output == "hello you"


def test_many_commands_that_no_worker_answers_end_as_soon_as_one(
    live_app: LiveApp, backend: KafkaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = live_app.lone_worker()
    client = WorkflowClient(backend)
    more = IN_FLIGHT + 44
    client.submit_many(
        flows.approval_flow, [(f"m-{number}", "you") for number in range(more)]
    )
    for number in range(more):
        until_status(client, f"m-{number}", "awaiting_signal")
    worker.terminate()
    monkeypatch.setattr("sayiir_es.client.bulk.REPLY_LIMIT_S", 3.0)
    workflow = flows.approval_flow.graph.name
    result = client.cancel_where(workflow=workflow)
    assert (result.done, len(result.errors)) == (0, more)
    assert "sayiir-es worker run" in str(result.errors["m-0"])
    live_app.lone_worker("w2")
    monkeypatch.undo()
    # What was sent is decided; what was not sent is left, and cancelled now.
    assert client.cancel_where(workflow=workflow).done >= more - IN_FLIGHT
    assert client.count(status="cancelled") == more

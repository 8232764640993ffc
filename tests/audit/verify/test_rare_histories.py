"""Histories that come about rarely, and that the verifier once took for wrong."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.audit import verify
from sayiir_es.audit.history import history
from sayiir_es.core.model.child_events import ChildInstanceEnded, ChildInstanceSent
from sayiir_es.core.model.compensation_events import CompensationRequested
from sayiir_es.core.model.permit_events import PermitReleased

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.events import Body

LIMIT_S = 20.0


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


def undo(value: Any) -> Any:
    return value


def until(backend: InMemoryBackend, instance_id: str, kind: type[Body]) -> None:
    """Wait until an instance has an event of a kind."""
    end_s = time.monotonic() + LIMIT_S
    while kind not in map(type, bodies(backend, instance_id)):
        assert time.monotonic() < end_s
        time.sleep(0.01)


def bodies(backend: InMemoryBackend, instance_id: str) -> list[Body]:
    return [one.event.body for one in history(backend, instance_id).events]


def test_a_permit_goes_back_while_a_failed_run_waits_for_what_runs(
    backend: InMemoryBackend,
) -> None:
    may_end = threading.Event()

    @task(compensate=undo)
    def run_long(value: Any) -> Any:
        assert may_end.wait(LIMIT_S)
        return value

    @task(concurrency_key="till", max_concurrency=1)
    def fail(value: Any) -> Any:
        raise ValueError(value)

    flow = Flow("w").fork().branch(run_long).branch(fail).join(len).build()
    with Worker("w", backend).start([flow]):
        client = WorkflowClient(backend)
        client.submit(flow, "i", 1)
        until(backend, "i", CompensationRequested)
        until(backend, "i", PermitReleased)
        may_end.set()
        assert client.wait("i", LIMIT_S).is_failed()
    assert verify(backend).holds


@pytest.mark.parametrize("on_parent_end", ["leave", "cancel"])
def test_a_fork_of_a_run_that_was_cancelled_while_its_child_ran(
    backend: InMemoryBackend, on_parent_end: Any
) -> None:
    kid = Flow("kid").wait_for_signal("go").build()
    flow = Flow("w").start_child(kid, id="kid", on_parent_end=on_parent_end)
    parent = flow.build()
    with Worker("w", backend).start([parent, kid]):
        client = WorkflowClient(backend)
        client.submit(parent, "i", 1)
        until(backend, "i", ChildInstanceSent)
        client.cancel("i")
        client.wait("i", LIMIT_S)
        if on_parent_end == "leave":
            client.send_signal("kid", "go", 1)
        client.wait("kid", LIMIT_S)
        until(backend, "i", ChildInstanceEnded)
        at = len(bodies(backend, "i"))
        for number in range(1, at + 1):
            client.fork("i", at=number, new_id=f"fork-{number}")
        assert client.status(f"fork-{at}").status == "cancelled"
    assert verify(backend).holds

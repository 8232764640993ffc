"""Limits as users have them: at most so many at a time, whatever happens to a run."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    RetryPolicy,
    Worker,
    WorkflowClient,
    task,
)
from sayiir_es.audit.history import history

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = "20s"


class Gate:
    """Lets a test see how many run, and let them go on."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.running: list[str] = []
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        """What a task does: be seen, and wait until it may go on."""
        with self._lock:
            self.running.append(name)
            self.most = max(self.most, len(self.running))
        assert self.opened.wait(20)
        with self._lock:
            self.running.remove(name)
        return name


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_limit_is_shared_by_workflows_and_told_while_it_is_waited_for(
    gate: Gate,
) -> None:
    def work(value: str) -> str:
        return gate(value)

    one = task("one", concurrency_key="api", max_concurrency=2)(work)
    flows = [Flow(name).then(one).build() for name in ("f1", "f2")]
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start(flows):
        for number in range(6):
            client.submit(flows[number % 2], f"i{number}", f"i{number}")
        until(lambda: len(gate.running) == 2)
        waiting = [f"i{n}" for n in range(6) if f"i{n}" not in gate.running]
        for instance_id in waiting:
            text = client.status(instance_id).waiting_for or ""
            said = "; waits for a permit of 'api' (2 of 2 in use) since 20"
            assert said in text, text
        listed = client.list(id_prefix=waiting[0])[0].waiting_for or ""
        assert listed.endswith("; waits for a permit of 'api' (2 at a time)"), listed
        gate.opened.set()
        for number in range(6):
            assert client.wait(f"i{number}", timeout=WAIT).output == f"i{number}"
    assert gate.most == 2


def test_each_key_has_a_limit_of_its_own(gate: Gate) -> None:
    @task(concurrency_key="{workflow}:{input.tenant}", max_concurrency=1)
    def work(value: dict[str, object]) -> str:
        return gate(str(value["tenant"]))

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        for number in range(6):
            client.submit(flow, f"i{number}", {"tenant": number % 3})
        until(lambda: sorted(gate.running) == ["0", "1", "2"])
        gate.opened.set()
        for number in range(6):
            client.wait(f"i{number}", timeout=WAIT)
    assert gate.most == 3


@pytest.mark.parametrize("timeout", [None, "30s"])
def test_a_key_that_cannot_be_made_fails_the_run(timeout: str | None) -> None:
    @task(
        concurrency_key="{input.tenant}",
        max_concurrency=1,
        timeout=timeout,
        retries=RetryPolicy(max_retries=3),
    )
    def work(value: object) -> object:
        return value

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        client.submit(flow, "i", {"tenant": None})
        status = client.wait("i", timeout=WAIT)
    assert status.status == "failed"
    assert "expected a text or a whole number at {input.tenant}" in str(status.error)


def test_a_permit_comes_back_whatever_ends_its_attempt(gate: Gate) -> None:
    calls: list[str] = []

    @task(
        concurrency_key="k",
        max_concurrency=1,
        retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01),
    )
    def work(value: str) -> str:
        calls.append(value)
        if value == "fails" or (value == "once" and calls.count("once") == 1):
            raise ValueError(value)
        return gate(value)

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        client.submit(flow, "first", "first")
        until(lambda: gate.running == ["first"])
        for name in ("paused", "cancelled", "fails", "once", "last"):
            client.submit(flow, name, name)
        client.pause("paused")
        client.cancel("cancelled")
        gate.opened.set()
        ends = {
            name: client.wait(name, timeout=WAIT).status
            for name in ("first", "cancelled", "fails", "once", "last")
        }
        assert ends == {
            "first": "completed",
            "cancelled": "cancelled",
            "fails": "failed",
            "once": "completed",
            "last": "completed",
        }
        assert client.status("paused").status == "paused"
        client.unpause("paused")
        assert client.wait("paused", timeout=WAIT).output == "paused"
    assert gate.most == 1
    assert "cancelled" not in calls


def test_a_rate_is_kept_by_attempts_of_all_workflows() -> None:
    def work(value: str) -> str:
        return value

    one = task("one", concurrency_key="api", rate="20/s burst 2")(work)
    flows = [Flow(name).then(one).build() for name in ("f1", "f2")]
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start(flows):
        for number in range(8):
            client.submit(flows[number % 2], f"i{number}", f"i{number}")
        for number in range(8):
            assert client.wait(f"i{number}", timeout=WAIT).output == f"i{number}"
    granted = [
        event.at
        for entry in history(backend, "$limit/api").events
        if (event := entry.event).kind == "PermitGranted"
    ]
    assert len(granted) == 8
    for first, last in itertools.combinations(range(8), 2):
        allowed = 2 + (granted[last] - granted[first]) * 20 / 1000
        assert last - first + 1 <= allowed, granted


def test_an_id_of_a_limit_cannot_be_started() -> None:
    flow = Flow("f").then(task("t")(lambda value: value)).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with (
        Worker("w", backend).start([flow]),
        pytest.raises(
            Exception, match=r"expected the id of an instance, but '\$limit/"
        ),
    ):
        client.submit(flow, "$limit/k", 1)

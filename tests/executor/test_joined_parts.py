"""Parts that were built apart, used together: children, limits, processes, executors.

After each scenario the log must hold every invariant, and no limit may have a holder.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Executor,
    Flow,
    InMemoryBackend,
    RetryPolicy,
    Worker,
    WorkflowClient,
    get_task_context,
    task,
)
from sayiir_es.audit import verify
from sayiir_es.audit.history import history
from sayiir_es.core.model.permit_events import (
    LIMIT_PREFIX,
    PermitGranted,
    PermitReturned,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 20.0


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


def kinds(backend: InMemoryBackend, name: str) -> list[str]:
    """The kinds of an instance's events."""
    return [one.event.kind for one in history(backend, name).events]


def until_kind(backend: InMemoryBackend, name: str, kind: str) -> None:
    """Wait until an instance has an event of a kind."""
    until(lambda: kind in kinds(backend, name))


def until_queued(client: WorkflowClient, name: str) -> None:
    """Wait until an attempt of an instance waits for a permit."""
    until(lambda: "waits for a permit" in (client.status(name).waiting_for or ""))


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def check_permits(backend: InMemoryBackend, *limits: str) -> None:
    """Each permit came back to these limits, and the log holds together."""
    for limit in limits:
        events = history(backend, LIMIT_PREFIX + limit).events
        granted = [e for e in events if isinstance(e.event.body, PermitGranted)]
        returned = [e for e in events if isinstance(e.event.body, PermitReturned)]
        assert len(granted) == len(returned) > 0
    assert verify(backend).holds


class Most:
    """How many run at a time, at most."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


# --- children and executors -----------------------------------------------------------


def test_a_task_elsewhere_asks_for_a_child_whose_task_is_elsewhere_too(
    backend: InMemoryBackend,
) -> None:
    @task(execute="remote")
    def order(value: int) -> int:
        return value + 1

    @task(execute="remote")
    def pack(value: int) -> int:
        return value * 10

    child = Flow("packing").then(pack).build()
    parent = Flow("orders").then(order).start_child(child).then(pack).build()
    with Worker("w", backend).start([parent, child]):
        client = WorkflowClient(backend)
        client.submit(parent, "i", 1)
        with Executor("e1", backend).start([parent]):
            until_kind(backend, "i", "ChildInstanceRequested")
            with Executor("e2", backend).start([child]):
                assert client.wait("i", LIMIT_S).output == 200
    assert verify(backend).holds


def test_a_cancel_of_the_parent_reaches_the_task_of_its_child_elsewhere(
    backend: InMemoryBackend,
) -> None:
    began, told = threading.Event(), threading.Event()

    @task(execute="remote")
    def pack(value: int) -> int:
        context = get_task_context()
        began.set()
        while not context.cancelled:
            time.sleep(0.01)
        told.set()
        return value

    child = Flow("packing").then(pack).build()
    parent = Flow("orders").start_child(child, id="{instance_id}-c").build()
    with (
        Worker("w", backend).start([parent, child]),
        Executor("e", backend).start([child]),
    ):
        client = WorkflowClient(backend)
        client.submit(parent, "i", 1)
        assert began.wait(LIMIT_S)
        client.cancel("i")
        assert told.wait(LIMIT_S)
        assert client.wait("i", LIMIT_S).status == "cancelled"
        assert client.wait("i-c", LIMIT_S).status == "cancelled"
    assert verify(backend).holds


# --- children and limits --------------------------------------------------------------


def test_a_parent_and_its_child_under_one_limit_of_one_do_not_wait_for_each_other(
    backend: InMemoryBackend,
) -> None:
    most = Most()

    @task(concurrency_key="till", max_concurrency=1)
    def pay(value: int) -> int:
        with most:
            time.sleep(0.01)
        return value + 1

    child = Flow("child").then(pay).build()
    parent = Flow("parent").then(pay).start_child(child).then(pay).build()
    names = [f"i{number}" for number in range(4)]
    with Worker("w", backend).start([parent, child]):
        client = WorkflowClient(backend)
        for name in names:
            client.submit(parent, name, 0)
        for name in names:
            assert client.wait(name, LIMIT_S).output == 3
    assert most.most == 1
    check_permits(backend, "till")


def test_the_child_of_a_parent_that_waits_for_a_permit_ends_with_it(
    backend: InMemoryBackend,
) -> None:
    may_end = threading.Event()

    @task(concurrency_key="till", max_concurrency=1)
    def pay(value: int) -> int:
        assert may_end.wait(LIMIT_S)
        return value

    child = Flow("child").wait_for_signal("never").build()
    parent = (
        Flow("parent")
        .start_child(child, id="{instance_id}-c", wait=False, on_parent_end="cancel")
        .then(pay)
        .build()
    )
    first = Flow("first").then(pay).build()
    with Worker("w", backend).start([parent, child, first]):
        client = WorkflowClient(backend)
        client.submit(first, "first", 1)
        until_kind(backend, "first", "PermitTaken")
        client.submit(parent, "i", 1)
        client.submit(first, "last", 2)
        until_queued(client, "i")
        until_kind(backend, "i-c", "SignalAwaited")
        client.cancel("i")
        assert client.wait("i", LIMIT_S).status == "cancelled"
        assert client.wait("i-c", LIMIT_S).status == "cancelled"
        may_end.set()
        assert client.wait("last", LIMIT_S).output == 2
        assert "TaskCompleted" not in kinds(backend, "i")
    check_permits(backend, "till")


# --- limits and migrations ------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, ("till", 1), ("till", 3), ("other", 1)])
def test_what_waits_for_a_permit_goes_on_with_the_limit_that_it_migrates_to(
    backend: InMemoryBackend, limit: tuple[str, int] | None
) -> None:
    may_end, most = threading.Event(), Most()

    @task(name="pay", concurrency_key="till", max_concurrency=1)
    def hold(value: int) -> int:
        assert may_end.wait(LIMIT_S)
        return value

    def pay(value: int) -> int:
        with most:
            time.sleep(0.01)
        return value + 1

    if limit is None:
        limited = task(name="pay")(pay)
    else:
        limited = task(name="pay", concurrency_key=limit[0], max_concurrency=limit[1])(
            pay
        )
    old = Flow("orders").then(hold).build()
    new = Flow("orders", version="2").then(limited).build()
    names = [f"i{number}" for number in range(5)]
    client = WorkflowClient(backend)
    with Worker("w", backend).start([old, new]):
        client.submit(old, "held", 0)
        until_kind(backend, "held", "PermitTaken")
        for name in names:
            client.submit(old, name, 0)
            until_queued(client, name)
        has_other_key = limit is not None and limit[0] != "till"
        for name in names:
            if has_other_key:  # refused while an attempt waits under the old one
                client.pause(name)
                until_kind(backend, name, "WorkflowPaused")
            client.migrate(name, to="latest")
            if has_other_key:
                client.unpause(name)
        may_end.set()
        assert client.wait("held", LIMIT_S).output == 0
        for name in names:
            assert client.wait(name, LIMIT_S).output == 1
        client.submit(old, "behind", 0)
        assert client.wait("behind", LIMIT_S).output == 0
    assert most.most <= (len(names) if limit is None else limit[1])
    check_permits(backend, "till", *([limit[0]] if limit else []))


# --- limits and processes -------------------------------------------------------------


def note(file: str, what: str) -> None:
    """Write down that a task begins or ends."""
    with Path(file).open("a", encoding="utf-8") as notes:
        notes.write(json.dumps(what) + "\n")


@task(
    executor="process",
    concurrency_key="till",
    max_concurrency=1,
    retries=RetryPolicy(max_retries=2, initial_delay_secs=0.01),
)
def die_once(file: str) -> int:
    """Kill its process at the first attempt of one instance."""
    context = get_task_context()
    note(file, "begin")
    if (context.instance_id, context.attempt) == ("i0", 1):
        note(file, "end")
        os._exit(9)
    time.sleep(0.02)
    note(file, "end")
    return context.attempt


dying = Flow("dying").then(die_once).build()


def test_a_limit_holds_for_tasks_in_processes_that_die(
    backend: InMemoryBackend, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    names = [f"i{number}" for number in range(2)]
    with Worker("w", backend, processes=2).start([dying]):
        client = WorkflowClient(backend)
        for name in names:
            client.submit(dying, name, str(file))
        for name in names:
            assert client.wait(name, 3 * LIMIT_S).output == (2 if name == "i0" else 1)
    told = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert told == ["begin", "end"] * (1 + len(names))
    check_permits(backend, "till")


# --- limits and executors -------------------------------------------------------------


def test_a_limit_holds_over_workers_with_other_code_and_executors(
    backend: InMemoryBackend,
) -> None:
    most = Most()

    def work(value: int) -> int:
        with most:
            time.sleep(0.01)
        return value

    limited = task(name="pay", concurrency_key="till", max_concurrency=2)(work)
    alpha = Flow("alpha").then(limited).build()
    beta = Flow("beta").then(limited).build()
    names = [f"i{number}" for number in range(12)]
    with (
        Worker("a", backend).start([alpha]),
        Worker("b", backend).start([beta]),
        Executor("e", backend).start([alpha, beta]),
    ):
        client = WorkflowClient(backend)
        for number, name in enumerate(names):
            client.submit((alpha, beta)[number % 2], name, number)
        for number, name in enumerate(names):
            assert client.wait(name, LIMIT_S).output == number
    assert most.most == 2
    check_permits(backend, "till")


def test_the_backoff_of_an_attempt_elsewhere_holds_no_permit(
    backend: InMemoryBackend,
) -> None:
    retries = RetryPolicy(max_retries=1, initial_delay_secs=0.2)

    @task(execute="remote", concurrency_key="t", max_concurrency=1, retries=retries)
    def pay(value: int) -> int:
        if value and get_task_context().attempt == 1:
            raise KeyError("once")
        return value

    flow = Flow("orders").then(pay).build()
    with (
        Worker("w", backend).start([flow]),
        Executor("e", backend).start([flow]),
    ):
        client = WorkflowClient(backend)
        client.submit(flow, "again", 1)
        until_kind(backend, "again", "RetryRecorded")
        assert client.run(flow, "other", 0, timeout=LIMIT_S).output == 0
        assert client.wait("again", LIMIT_S).output == 1
    check_permits(backend, "t")

"""Limits that are set while attempts run: raised, lowered, listed, shown, unset."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, aio, task
from sayiir_es.core.model.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = "20s"


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


class Gate:
    """What a task does; a test sees who does it, and lets them go on."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.running: list[str] = []

    def __call__(self, name: str) -> str:
        """Be one of those that run, and wait."""
        self.running.append(name)
        assert self.opened.wait(20)
        self.running.remove(name)
        return name


def test_a_limit_that_is_raised_lets_more_run_at_once_and_lowered_fewer() -> None:
    gate = Gate()

    @task(concurrency_key="api", max_concurrency=1)
    def work(name: str) -> str:
        return gate(name)

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        for number in range(6):
            client.submit(flow, f"i{number}", f"i{number}")
        until(lambda: len(gate.running) == 1)
        limit = client.set_limit(
            "api", max_concurrency=4, reason="a larger plan", set_by="ana"
        )
        assert (limit.max_concurrency, limit.set_by, limit.reason) == (
            4,
            "ana",
            "a larger plan",
        )
        until(lambda: len(gate.running) == 4)
        shown = client.get_limit("api")
        assert shown.in_use == 4
        assert {one.instance_id for one in shown.holders} == {*gate.running}
        assert shown.queued == len(shown.waiting) == 1  # more are not asked for
        assert [one.key for one in client.limits().limits] == ["api"]
        client.set_limit("api", max_concurrency=0)
        gate.opened.set()
        until(lambda: client.get_limit("api").in_use == 0)
        assert client.count(status="completed") == 4
        assert client.get_limit("api").queued
        again = client.set_limit("api")
        assert (again.is_set, again.set_at) == (False, None)
        for number in range(6):
            assert client.wait(f"i{number}", timeout=WAIT).status == "completed"
    assert client.get_limit("api").max_concurrency is None
    assert not client.limits().limits


def test_a_rate_is_set_for_tasks_that_name_none() -> None:
    @task(concurrency_key="api", max_concurrency=9)
    def work(name: str) -> str:
        return name

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([flow]):
        client.set_limit("api", rate="1/h burst 2")
        for number in range(4):
            client.submit(flow, f"i{number}", f"i{number}")
        until(lambda: client.count(status="completed") == 2)
        until(lambda: client.get_limit("api").queued == 2)
        limit = client.get_limit("api")
        assert limit.rate == "1/h burst 2"
        assert limit.grants_at is not None
        assert limit.set_at is not None
        assert limit.grants_at > limit.set_at + 3_000_000
        client.set_limit("api", rate="100/s")
        for number in range(4):
            client.wait(f"i{number}", timeout=WAIT)


def test_what_waits_for_time_is_granted_by_the_next_owner() -> None:
    @task(concurrency_key="api", rate="2/s")
    def work(name: str) -> str:
        return name

    flow = Flow("f").then(work).build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w1", backend).start([flow]):
        for number in range(3):
            client.submit(flow, f"i{number}", f"i{number}")
        until(lambda: client.get_limit("api").grants_at is not None)
    assert client.count(status="completed") < 3
    with Worker("w2", backend).start([flow]):
        for number in range(3):
            assert client.wait(f"i{number}", timeout=WAIT).status == "completed"


def test_pages_of_limits_have_all_of_them_once() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    flow = Flow("f").then(task("t")(lambda value: value)).build()
    keys = [f"key-{number:02}" for number in range(11)]
    with Worker("w", backend).start([flow]):
        for key in keys:
            client.set_limit(key, max_concurrency=1)
        found, after = list[str](), None
        while True:
            page = client.limits(limit=4, after=after)
            found += [one.key for one in page.limits]
            assert len(page.limits) <= 4
            after = page.next_after
            if after is None:
                break
        assert found == keys
        with pytest.raises(ValueError, match="expected a limit of 1 to 200, but 0"):
            client.limits(limit=0)


async def test_limits_are_set_by_coroutines_and_told_without_a_worker() -> None:
    backend = InMemoryBackend()
    async with aio.WorkflowClient(backend) as client:
        flow = Flow("f").then(task("t")(lambda value: value)).build()
        await client.submit(flow, "i", 1)
        await client.set_limit("api", max_concurrency=2, rate="5/min")
        limit = await client.get_limit("api")
        assert (limit.set_max_concurrency, limit.set_rate) == (2, "5/min")
        assert (await client.get_limit("other")).in_use == 0
        assert [one.key for one in (await client.limits()).limits] == ["api"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": ""}, "expected a key of 1 to 200 bytes, but 0"),
        ({"key": "k" * 201}, "expected a key of 1 to 200 bytes, but 201"),
        ({"max_concurrency": -1}, "max_concurrency between 0 and 100000, but -1"),
        ({"rate": "10 a second"}, "expected a rate such as"),
        ({"rate": "0/s"}, "expected a rate such as"),
        ({"rate": "200000/s"}, "expected a rate such as"),
    ],
)
def test_what_is_no_limit_is_refused(options: dict[str, object], message: str) -> None:
    client = WorkflowClient(InMemoryBackend())
    key = str(options.pop("key", "k"))
    with pytest.raises((ValueError, WorkflowError), match=message):
        client.set_limit(key, **options)  # type: ignore[arg-type]  # that is tested

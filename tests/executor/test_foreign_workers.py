"""Workers with other code: each runs what another one owns and has no code for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Executor, Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.audit import verify
from sayiir_es.audit.history import history
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.events import AttemptRestarted

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 20.0


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    made = InMemoryBackend()
    yield made
    made.close()


def double(value: int) -> int:
    return value * 2


async def triple(value: int) -> int:
    await asyncio.sleep(0)
    return value * 3


alpha = Flow("alpha").then(double).then(triple).build()
beta = Flow("beta").then(triple).then(double).build()


def published(backend: InMemoryBackend, name: str) -> list[str]:
    """To whom the attempts of an instance were handed, without what makes it unique."""
    bodies = [one.event.body for one in history(backend, name).events]
    return [
        body.executor.split("/")[0]
        for body in bodies
        if isinstance(body, AttemptPublished)
    ]


def test_two_fleets_of_workers_finish_what_either_has(
    backend: InMemoryBackend,
) -> None:
    with Worker("a", backend).start([alpha]), Worker("b", backend).start([beta]):
        client = WorkflowClient(backend)
        for number in range(20):
            client.submit((alpha, beta)[number % 2], f"i{number}", number)
        for number in range(20):
            assert client.wait(f"i{number}", LIMIT_S).output == number * 6
        assert published(backend, "i0") == []  # its owner has the code itself
        assert published(backend, "i1") == ["b", "b"]
        assert client.count(status="stranded") == 0
    assert verify(backend).holds


def test_a_worker_takes_nothing_that_only_executors_run(
    backend: InMemoryBackend,
) -> None:
    @task(execute="remote")
    def far(value: int) -> int:
        return value + 1

    flow = Flow("far").then(far).then(double).build()
    with Worker("a", backend).start([alpha]), Worker("b", backend).start([flow]):
        client = WorkflowClient(backend)
        client.submit(flow, "i", 1)
        client.run(alpha, "j", 1, timeout=LIMIT_S)
        assert client.status("i").status == "in_progress"
        with Executor("e", backend).start([flow]):
            assert client.wait("i", LIMIT_S).output == 4
    assert published(backend, "i") == ["e", "b"]


def test_what_a_full_worker_has_no_slot_for_another_one_runs(
    backend: InMemoryBackend,
) -> None:
    together = threading.Barrier(2)

    def meet(value: int) -> int:
        together.wait(LIMIT_S)
        return value

    flow = Flow("meet").then(meet).build()
    first = Worker("a", backend, max_concurrent_tasks=1)
    second = Worker("b", backend, max_concurrent_tasks=1)
    with first.start([flow]), second.start([flow]):
        client = WorkflowClient(backend)
        for name in ("i0", "i1"):
            client.submit(flow, name, 7)
        for name in ("i0", "i1"):
            assert client.wait(name, LIMIT_S).output == 7
    handed = [*published(backend, "i0"), *published(backend, "i1")]
    assert handed in (["a"], ["b"])  # whoever owns them ran one itself
    assert verify(backend).holds


def test_a_worker_that_ends_hands_back_what_still_runs(
    backend: InMemoryBackend,
) -> None:
    runs: list[str] = []

    async def hold(value: int) -> int:
        runs.append("begun")
        if len(runs) == 1:
            await asyncio.sleep(3600)
        return value

    flow = Flow("hold").then(hold).build()
    with Worker("a", backend).start([alpha]):
        client = WorkflowClient(backend)
        with Worker("b", backend, drain=0.1).start([flow]):
            client.submit(flow, "i", 7)
            while not runs:
                client.status("i")
        with Worker("c", backend).start([flow]):
            assert client.wait("i", LIMIT_S).output == 7
    assert published(backend, "i") == ["b", "c"]
    events = history(backend, "i").events
    restarts = [
        one.event.body.restarts
        for one in events
        if isinstance(one.event.body, AttemptRestarted)
    ]
    assert restarts == [0]  # it came back, and was not lost

"""Forks as wide as people make them."""

from __future__ import annotations

import threading

from sayiir_es import Flow, Workflow, run_durable_workflow, task
from sayiir_es.client.backends import InMemoryBackend
from sayiir_es.core.status.status import PARTS_MAX


@task
async def add(value: int) -> int:
    return value + 1


@task
def total(results: dict[str, int]) -> int:
    return sum(results.values())


def wide(branches: int) -> Workflow:
    fork = Flow("wide").fork()
    for number in range(branches):
        fork.branch(add, name=f"b{number}")
    return fork.join(total).build()


def test_ten_thousand_branches_run_and_join() -> None:
    status = run_durable_workflow(wide(10_000), "i", 0)
    assert status.output == 10_000


def test_the_branches_of_a_fork_run_side_by_side() -> None:
    together = threading.Barrier(10, timeout=10.0)

    @task
    def meet(value: int) -> int:
        together.wait()
        return value

    fork = Flow("meeting").fork()
    for number in range(10):
        fork.branch(meet, name=f"b{number}")
    status = run_durable_workflow(fork.join(total).build(), "i", 1)
    assert status.output == 10


def test_what_very_many_branches_wait_for_is_still_one_sentence() -> None:
    fork = Flow("waiting").fork()
    for number in range(PARTS_MAX + 30):
        fork.branch(Flow("one").wait_for_signal("go", name=f"s{number}"))
    workflow = fork.join(total).build()
    with InMemoryBackend() as backend:
        status = run_durable_workflow(workflow, "i", 0, backend)
        assert status.status == "awaiting_signal"
        full_status = backend.thread.call(backend.session.get_status("i"))
    assert full_status.waiting_for.endswith("; 30 more")

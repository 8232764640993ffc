"""Sayiir: durable runs called from threads, its state in this process's memory."""

from __future__ import annotations

import os
from typing import Any

import sayiir

from benchmarks.peers.load import BRANCHES, case_of, measure_threads


def step(name: str) -> Any:
    """A task of its own that adds one."""

    def add_one(value: int) -> int:
        return value + 1

    add_one.__name__ = add_one.__qualname__ = name
    return sayiir.task(add_one)


def chain() -> Any:
    """W1."""
    flow = sayiir.Flow("chain")
    for number in range(5):
        flow = flow.then(step(f"s{number}"))
    return flow.build()


def fan_out() -> Any:
    """W2."""

    def total(outputs: dict[str, int]) -> int:
        return sum(outputs.values())

    fork = sayiir.Flow("fan-out").fork()
    for number in range(BRANCHES):
        fork = fork.branch(step(f"b{number}"))
    return fork.join(sayiir.task(total)).build()


def signalled() -> Any:
    """W3."""
    flow = sayiir.Flow("signalled").then(step("before")).wait_for_signal("go")
    return flow.then(step("after")).build()


class SayiirEngine:
    """The documented calls of the module."""

    def __init__(self) -> None:
        self.roots = {"client": (os.getpid(),)}
        self._backend = sayiir.InMemoryBackend()
        self._flows = {"w1": chain(), "w2": fan_out(), "w3": signalled()}

    def run(self, workload: str, instance_id: str, value: int) -> int:
        """Run to the end."""
        status = sayiir.run_durable_workflow(
            self._flows[workload], instance_id, value, backend=self._backend
        )
        return int(status.output)

    def start_waiting(self, instance_id: str) -> None:
        """Run up to the wait."""
        status = sayiir.run_durable_workflow(
            self._flows["w3"], instance_id, 0, backend=self._backend
        )
        assert status.is_awaiting_signal(), status

    def send_and_finish(self, instance_id: str, value: int) -> int:
        """Send the signal and resume."""
        sayiir.send_signal(instance_id, "go", value, self._backend)
        status = sayiir.resume_workflow(self._flows["w3"], instance_id, self._backend)
        return int(status.output)


if __name__ == "__main__":
    measure_threads(SayiirEngine(), case_of(["memory"]))

"""Workflows for tests of the command line, importable by `worker run`."""

from __future__ import annotations

from sayiir_es import Flow, task


@task
def double(number: int) -> int:
    return number * 2


@task
def fail(number: int) -> int:
    raise ValueError(f"bad \x1b[2J{number}")


@task(tags=["gpu"])
def render(number: int) -> int:
    return number


doubling = Flow("doubling").then(double).build()
failing = Flow("failing").then(fail).build()
approving = Flow("approving").then(double).wait_for_signal("go", timeout="1h").build()
rendering = Flow("rendering").then(render).build()

"""Workflows that the tests of the API run."""

from __future__ import annotations

from typing import Any

from sayiir_es import Flow, RetryPolicy, task


def add_one(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "n": value["n"] + 1}


@task(retries=RetryPolicy(max_retries=0))
def fail(value: object) -> object:
    raise ValueError(f"token=abc {value!r}")


def finish(value: object) -> object:
    return value


def pass_on(value: object) -> object:
    return value


adding = Flow("adding").then(add_one).build()
waiting = Flow("waiting").then(pass_on).wait_for_signal("approval").then(finish).build()
failing = Flow("failing").then(fail).build()

WORKFLOWS = [adding, waiting, failing]

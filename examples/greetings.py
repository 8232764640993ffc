"""A workflow whose tasks are not written in Python: executors elsewhere run them.

Its worker is `sayiir-es worker run examples.greetings`; `examples/executor-go` and
`examples/executor-typescript` have the tasks.
"""

from __future__ import annotations

from typing import TypedDict

from sayiir_es import Flow, task


class Guest(TypedDict):
    """Whom to greet, and how long that takes in seconds."""

    name: str
    seconds: float


@task(execute="remote")
def greet(guest: Guest) -> str:
    """Say hello."""
    raise NotImplementedError(f"expected an executor elsewhere to greet {guest}")


@task(execute="remote")
def shout(text: str) -> str:
    """Say it louder."""
    raise NotImplementedError(f"expected an executor elsewhere to shout {text!r}")


greetings = Flow[Guest]("greetings").then(greet).then(shout).build()

"""The workflows that the live tests run.

A task whose executions are counted appends a line to the file whose path is its input:
so the tests count executions without the engine.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from sayiir_es import Flow, RetryPolicy, task

STEP_S = 0.02


def note(path: str, text: str = "") -> None:
    """Append a line with the time, in seconds of the machine's monotonic clock."""
    with Path(path).open("a") as file:
        file.write(f"{time.monotonic():.3f} {text}\n")


@task
async def first(value: int) -> int:
    await asyncio.sleep(STEP_S)
    return value + 1


@task
def second(value: int) -> int:
    return value + 1


@task
async def third(value: int) -> int:
    await asyncio.sleep(STEP_S)
    return value + 1


@task
def fourth(value: int) -> int:
    time.sleep(STEP_S)
    return value + 1


@task
async def fifth(value: int) -> int:
    return value + 1


@task(retries=RetryPolicy(max_retries=2, initial_delay_secs=0.5))
async def flaky(path: str) -> str:
    """Note the time, and fail."""
    note(path)
    raise OSError("the other side hung up")


@task(timeout="2s")
def stuck(path: str) -> str:
    """Note the time, and run much longer than the time-out."""
    note(path)
    time.sleep(60)
    return path


@task
async def noted(path: str) -> str:
    """Note the time."""
    note(path)
    return path


@task
async def held(path: str) -> str:
    """Note the time, and run until there is a file with `.end` behind its name."""
    note(path)
    while not Path(f"{path}.end").exists():  # noqa: ASYNC110, ASYNC240 (a file's only)
        await asyncio.sleep(STEP_S)
    return path


@task
def greet(name: str) -> str:
    return f"hello {name}"


@task
def shout(payload: dict[str, str]) -> str:
    return payload["word"].upper()


chain = Flow("chain").then(first).then(second).then(third).then(fourth).then(fifth)
chain_flow = chain.build()
retrying_flow = Flow("retrying").then(flaky).build()
stuck_flow = Flow("stuck").then(stuck).build()
delayed_flow = Flow("delayed").delay("nap", "3s").then(noted).build()
long_delayed_flow = Flow("long-delayed").delay("nap", "30s").then(noted).build()
held_flow = Flow("held").then(held).build()
greeting_flow = Flow("greeting").then(greet).build()
approval_flow = Flow("approval").then(greet).wait_for_signal("word").then(shout).build()

ALL = [
    chain_flow,
    retrying_flow,
    stuck_flow,
    delayed_flow,
    long_delayed_flow,
    greeting_flow,
    held_flow,
    approval_flow,
]

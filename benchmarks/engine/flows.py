"""The workflows that are measured: steps that do nothing, async and sync.

The last four are those that `benchmarks/peers/` compares with other engines.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from benchmarks.engine.effects import EFFECT_S, EFFECTS_FILE, append_effect
from sayiir_es import Flow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.authoring.flow import Workflow

STEPS = 5
MANY_STEPS = 25
"""Beside the short workflow it tells what one more step takes, start and end left out.
"""


async def pass_on(value: object) -> object:
    """An async step."""
    return value


async def count(value: str) -> int:
    """How long a large input is."""
    return len(value)


def hand_on(value: object) -> object:
    """A sync step: it runs on a thread."""
    return value


def chain(name: str, step: Callable[..., object], steps: int) -> Workflow:
    """So many times the same step."""
    flow = Flow(name)
    for number in range(steps):
        flow.then(step, name=f"s{number}")
    return flow.build()


ASYNC = chain("bench-async", pass_on, STEPS)
SYNC = chain("bench-sync", hand_on, STEPS)
LONG = chain("bench-long", pass_on, MANY_STEPS)
COUNT = chain("bench-count", count, 1)


async def add_one(value: int) -> int:
    """A step that does nothing else."""
    return value + 1


def total(outputs: dict[str, int]) -> int:
    """The join of branches."""
    return sum(outputs.values())


def fan_out(name: str, branches: int) -> Workflow:
    """So many branches of one step, and a join."""
    fork = Flow(name).fork()
    for number in range(branches):
        fork.branch(add_one, name=f"b{number}")
    return fork.join(total).build()


def effects(name: str, steps: int) -> Workflow:
    """So many steps that each leave a trace outside, and take a while."""

    def step(number: int) -> Callable[[str], Awaitable[str]]:
        async def effect(key: str) -> str:
            append_effect(os.environ[EFFECTS_FILE], key, number)
            await asyncio.sleep(EFFECT_S)
            return key

        return effect

    flow = Flow(name)
    for number in range(steps):
        flow.then(step(number), name=f"s{number}")
    return flow.build()


ADD_ONE = chain("bench-add-one", add_one, STEPS)
FAN_OUT = fan_out("bench-fan-out", 10)
SIGNALLED = (
    Flow("bench-signalled")
    .then(add_one, name="before")
    .wait_for_signal("go")
    .then(add_one, name="after")
    .build()
)
EFFECTS = effects("bench-effects", STEPS)
ALL = (ASYNC, SYNC, LONG, COUNT, ADD_ONE, FAN_OUT, SIGNALLED, EFFECTS)

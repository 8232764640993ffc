"""The workflows that are measured: steps that do nothing, async and sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import Flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.authoring.flow import Workflow

STEPS = 5
MANY_STEPS = 25
"""Beside the short workflow it tells what one more step takes, start and end left out.
"""


async def pass_on(value: object) -> object:
    """An async step."""
    return value


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
ALL = (ASYNC, SYNC, LONG)

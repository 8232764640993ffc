"""The workflows that are measured: five steps that do nothing, async and sync."""

from __future__ import annotations

from sayiir_es import Flow

STEPS = 5


async def pass_on(value: object) -> object:
    """An async step."""
    return value


def hand_on(value: object) -> object:
    """A sync step: it runs on a thread."""
    return value


def chain(name: str, step: object) -> object:
    """Five times the same step."""
    flow = Flow(name)
    for number in range(STEPS):
        flow.then(step, name=f"s{number}")  # type: ignore[arg-type]  # a function
    return flow.build()


ASYNC = chain("bench-async", pass_on)
SYNC = chain("bench-sync", hand_on)

"""The workflows as a Restate service; an ASGI server serves `app`."""

from __future__ import annotations

import asyncio
import os

import restate
from restate import RunOptions, Workflow, WorkflowContext, WorkflowSharedContext

from benchmarks.engine.effects import (
    EFFECT_S,
    EFFECT_STEPS,
    EFFECTS_FILE,
    append_effect,
)

BRANCHES = 10

chain = Workflow("Chain")
fan_out = Workflow("FanOut")
signalled = Workflow("Signalled")
effects = Workflow("Effects")

_waiting: set[str] = set()


async def add_one(value: int) -> int:
    """A step that does nothing else."""
    return value + 1


async def total(values: list[int]) -> int:
    """The join."""
    return sum(values)


@chain.main(name="run")
async def run_chain(ctx: WorkflowContext, value: int) -> int:
    """W1."""
    for number in range(5):
        value = await ctx.run_typed(f"s{number}", add_one, RunOptions(), value)
    return value


@fan_out.main(name="run")
async def run_fan_out(ctx: WorkflowContext, value: int) -> int:
    """W2."""
    branches = [
        ctx.run_typed(f"b{number}", add_one, RunOptions(), value)
        for number in range(BRANCHES)
    ]
    await restate.gather(*branches)
    values = [await branch for branch in branches]
    return await ctx.run_typed("join", total, RunOptions(), values)


@signalled.main(name="run")
async def run_signalled(ctx: WorkflowContext, value: int) -> int:
    """W3."""
    await ctx.run_typed("before", add_one, RunOptions(), value)
    _waiting.add(ctx.key())
    value = await ctx.promise("go", type_hint=int).value()
    return await ctx.run_typed("after", add_one, RunOptions(), value)


@signalled.handler(name="signal")
async def signal(ctx: WorkflowSharedContext, value: int) -> None:
    """Let it go on."""
    await ctx.promise("go", type_hint=int).resolve(value)


@signalled.handler(name="waiting")
async def waiting(_: WorkflowSharedContext, instance_ids: list[str]) -> bool:
    """Whether all of these have come to their waits, in this process."""
    return _waiting.issuperset(instance_ids)


async def effect(key: str, number: int) -> int:
    """A step of W4."""
    append_effect(os.environ[EFFECTS_FILE], key, number)
    await asyncio.sleep(EFFECT_S)
    return number


@effects.main(name="run")
async def run_effects(ctx: WorkflowContext, key: str) -> str:
    """W4."""
    for number in range(EFFECT_STEPS):
        await ctx.run_typed(f"s{number}", effect, RunOptions(), key, number)
    return key


app = restate.app([chain, fan_out, signalled, effects])

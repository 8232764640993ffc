"""The ways to the simple engine, and the kinds of functions that it calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest

from sayiir_es import WorkflowEngine, aio, run_workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es import Workflow
    from sayiir_es.core.authoring.steps import Function

Run: TypeAlias = "Callable[[Workflow, object], object]"
Kind = Literal["sync", "async", "awaitable"]
KINDS: tuple[Kind, ...] = ("sync", "async", "awaitable")


def in_a_running_loop(workflow: Workflow, value: object) -> object:
    async def call() -> object:
        return run_workflow(workflow, value)

    return asyncio.run(call())


def on_the_callers_loop(workflow: Workflow, value: object) -> object:
    return asyncio.run(aio.run_workflow(workflow, value))


def by_the_engine(workflow: Workflow, value: object) -> object:
    return WorkflowEngine().run(workflow, value)


without_a_loop = pytest.mark.parametrize("run", [run_workflow, by_the_engine])
every_way = pytest.mark.parametrize(
    "run", [run_workflow, by_the_engine, in_a_running_loop, on_the_callers_loop]
)
every_kind = pytest.mark.parametrize("kind", KINDS)


def of_kind(kind: Kind, function: Function) -> Function:
    """The function, as a coroutine function or one that returns a coroutine."""

    async def asynchronous(value: object) -> object:
        await asyncio.sleep(0)
        return function(value)

    def returns_awaitable(value: object) -> object:
        return asynchronous(value)

    choice = {"sync": function, "async": asynchronous, "awaitable": returns_awaitable}
    return choice[kind]

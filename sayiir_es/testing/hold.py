"""Holds an attempt where its function is called, so that a scenario can stop there."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from typing import TYPE_CHECKING

from sayiir_es.engine.attempts.task_context import get_task_context

if TYPE_CHECKING:
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.testing.steps import StopStep

KEY_FUNCTION = "::key_fn"
"""What the id of a key function has behind that of its route."""


class Hold:
    """The attempt that a scenario stops at: from where it is called until `release`."""

    def __init__(self) -> None:
        self._stop: StopStep | None = None
        self._reached = asyncio.Event()
        self._end = asyncio.Event()
        self._ends: list[asyncio.Event] = []

    @property
    def is_reached(self) -> bool:
        """Whether an attempt is held that the stop is about."""
        return self._reached.is_set()

    def set_stop(self, stop: StopStep | None) -> None:
        """Hold the next attempt that a step is to stop at; see `release`."""
        self._ends.append(self._end)
        self._end, self._reached = asyncio.Event(), asyncio.Event()
        is_held = stop is not None and stop.state == "running"
        self._stop = stop if is_held else None

    def release(self) -> None:
        """Let go what was held before the last `set_stop`."""
        for end in self._ends:
            end.set()
        self._ends.clear()

    async def wait(self) -> None:
        """Wait until an attempt is held."""
        await self._reached.wait()

    def applied_to(self, workflow: Workflow) -> Workflow:
        """The workflow with functions that may be held.

        Sync ones are called on the event loop, too, not in threads.
        """
        held = copy.copy(workflow)
        held.prepared = None
        held.functions = {
            path: self._coroutine_of(f) for path, f in workflow.functions.items()
        }
        return held

    def _coroutine_of(self, function: Function) -> Function:
        @functools.wraps(function)
        async def call(*values: object, **named: object) -> object:
            await self._pass()
            result = function(*values, **named)
            return await result if inspect.isawaitable(result) else result

        return call

    async def _pass(self) -> None:
        context, stop = get_task_context(), self._stop
        if context is None or stop is None:
            return
        task_id = context.task_id.removesuffix(KEY_FUNCTION)
        if task_id == stop.task_id and stop.attempt in (None, context.attempt):
            self._stop = None
            self._reached.set()
            await self._end.wait()

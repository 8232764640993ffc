"""The simple engine: a workflow run in this process, with no log and no state.

Theory of operation. A run goes through the workflow's steps with plain recursion.
Values pass from task to task as the payload codec would give them, as in the durable
engine, so that none passes here and fails there. Retries and time-outs hold; a wait for
a signal is an error, because nobody could send one. Branches run one after the other.

Plain functions are called in the thread of a synchronous caller. It gets an event loop
at the first call that takes one, in a thread of its own, so that what tasks leave
running there goes on while a plain function runs. Where all functions are coroutine
functions nothing else runs beside the loop, and it runs in the caller's thread. On the
event loop of a caller no plain function is called in place: the loop would stand still
meanwhile. There it gets a thread, and so does one with a time-out anywhere, because a
thread that is to be left behind must not be the caller's.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError
from contextlib import closing
from typing import TYPE_CHECKING

from sayiir_es.client.loop_thread import (
    Interruption,
    LoopThread,
    is_loop_running,
    run_on_own_loop,
)
from sayiir_es.client.simple_calls import BlockingCalls, LoopCalls
from sayiir_es.client.simple_run import AttemptCall, SimpleRun
from sayiir_es.client.simple_steps import simple_workflow_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from sayiir_es.client.simple_run import Request
    from sayiir_es.client.simple_steps import SimpleWorkflow
    from sayiir_es.core.authoring.workflow import Workflow

STEPS_PER_TURN = 100
"""After so many pauses and calls other tasks of the event loop get their turn."""


def run_simply(workflow: Workflow, value: object) -> object:
    """Run a workflow in this process and return its output.

    Raises:
        TaskError: if a task failed, no branch matched, a loop ran too often, or there
            is a wait for a signal.
        DeserializationError: if a loop's body or a route's key function returned what
            its construct does not take.
    """
    simple = simple_workflow_of(workflow)
    try:
        if is_loop_running():
            # Here, too, a plain function finds no event loop running in its thread.
            with closing(LoopThread("sayiir-simple")) as thread:
                return thread.call(_run_on_loop(simple, value))
        if simple.is_async:
            return run_on_own_loop(_run_on_loop(simple, value))
        return _run_here(SimpleRun(simple, calls_plain=True).run(value))
    except asyncio.CancelledError as error:
        # To synchronous code this is an ordinary error, not the end of a task.
        raise CancelledError from error


async def run_on_this_loop(workflow: Workflow, value: object) -> object:
    """As `run_simply`, on the event loop of the caller."""
    return await _run_on_loop(simple_workflow_of(workflow), value)


def _run_here(run: Generator[Request, object, object]) -> object:
    """Take a run to its end in this thread; a loop is started once a call needs one."""
    calls: BlockingCalls | None = None
    result: object = None
    failure: Exception | None = None
    try:
        while True:
            request = run.send(result) if failure is None else run.throw(failure)
            result, failure = None, None
            if not isinstance(request, AttemptCall):
                time.sleep(request)
                continue
            try:
                calls = calls or BlockingCalls()
                result = calls.result_of(request)
            except Exception as error:  # noqa: BLE001 (a task's: the run's to judge)
                failure = error
    except StopIteration as end:
        return end.value
    finally:
        if calls is not None:
            calls.close()


async def _run_on_loop(simple: SimpleWorkflow, value: object) -> object:
    """Take a run to its end on the running loop."""
    run = SimpleRun(simple, calls_plain=False).run(value)
    calls = LoopCalls()
    result: object = None
    failure: Exception | None = None
    steps = 0
    try:
        while True:
            try:
                request = run.send(result) if failure is None else run.throw(failure)
            except StopIteration as end:
                return end.value
            result, failure = None, None
            steps += 1
            if steps % STEPS_PER_TURN == 0:
                await asyncio.sleep(0)
            if not isinstance(request, AttemptCall):
                await asyncio.sleep(request)
                continue
            try:
                result = await calls.result_of(request)
            except Exception as error:  # noqa: BLE001 (a task's: the run's to judge)
                failure = error
    except Interruption as interrupted:
        raise interrupted.error from None
    finally:
        calls.close()

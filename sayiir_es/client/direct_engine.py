"""Runs an instance that is gone when its call returns, without an engine around it.

Theory of operation. What the core decides is called here: plain functions in the thread
of a synchronous caller; where there are coroutine functions, these on an event loop and
plain ones in threads, so that none holds up the loop. An engine with a log of its own
runs what does several things at once (`engine.direct_run` says which those are), and
attempts that are traced.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sayiir_es.client.instance_ids import new_instance_id
from sayiir_es.client.loop_thread import (
    Interruption,
    is_loop_running,
    run_on_own_loop,
)
from sayiir_es.client.rejections import raise_rejection
from sayiir_es.client.replies import found_status
from sayiir_es.client.runs import StartOptions, new_start
from sayiir_es.client.simple_calls import InContext
from sayiir_es.client.workflow_status import workflow_status
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.engine.attempts.task_threads import TaskThreads
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.direct_run import DirectCall, DirectRun, can_run_directly
from sayiir_es.engine.tracer import is_tracing
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from sayiir_es.wire.requests import Decided

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Mapping
    from contextvars import Context
    from uuid import UUID

    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import ConflictPolicy

_INTERRUPTS = (KeyboardInterrupt, SystemExit)


class _Prepared(NamedTuple):
    """What is kept with a workflow: made of this graph and these functions.

    `is_direct` says that it takes no engine, `is_plain` that it takes no event loop.
    """

    graph: Graph
    functions: Mapping[str, Function]
    registry: Registry
    is_direct: bool
    is_plain: bool


def run_directly(
    workflow: Workflow, instance_id: str | UUID, value: object, policy: ConflictPolicy
) -> WorkflowStatus | None:
    """Run a new instance until it has ended or is parked; None: it takes an engine.

    Raises:
        WorkflowError: if the id does not do, or the start is refused.
    """
    prepared = _prepared(workflow)
    if not prepared.is_direct or is_tracing() or is_loop_running():
        return None
    if not prepared.is_plain:
        return run_on_own_loop(
            run_directly_on_loop(workflow, instance_id, value, policy)
        )
    run = _begun(workflow, instance_id, value, policy)
    if run is None:
        return None
    while (owed := run.next()) is not None:
        if isinstance(owed, DirectCall):
            run.report(_call_here(owed))
        else:
            time.sleep(owed)
    return _status(run, instance_id)


async def run_directly_on_loop(
    workflow: Workflow, instance_id: str | UUID, value: object, policy: ConflictPolicy
) -> WorkflowStatus | None:
    """The same on the event loop of the caller, and plain functions in threads."""
    if not _prepared(workflow).is_direct or is_tracing():
        return None
    run = _begun(workflow, instance_id, value, policy)
    if run is None:
        return None
    with closing(_LoopCalls()) as calls:
        while (owed := run.next()) is not None:
            if isinstance(owed, DirectCall):
                run.report(await calls.outcome_of(owed))
            else:
                await asyncio.sleep(owed)
    return _status(run, instance_id)


def _begun(
    workflow: Workflow, instance_id: str | UUID, value: object, policy: ConflictPolicy
) -> DirectRun | None:
    """The run of a new instance; None where its input takes an engine to be refused."""
    instance_id = new_instance_id(instance_id)
    data = JSON_PAYLOADS.encode(value)
    if len(data) > DEFAULT_LIMITS.payload_bytes:
        return None
    start = new_start(workflow, instance_id, data, StartOptions(policy=policy))
    run = DirectRun(start, workflow.graph, _prepared(workflow).registry)
    rejected = run.begin()
    if rejected is not None:
        decided = Decided(
            event=type(rejected).__name__,
            offset=0,
            command=rejected.command,
            code=rejected.code,
            message=rejected.message,
        )
        raise_rejection(decided, instance_id, None)
    return run


def _status(run: DirectRun, instance_id: str | UUID) -> WorkflowStatus:
    status = found_status(run.status(), str(instance_id))
    return workflow_status(status, JSON_PAYLOADS)


_Called: TypeAlias = "Outcome | Interruption"
"""What became of a call; an interrupt ends the run, and no event loop."""


def _call(call: DirectCall) -> _Called | Coroutine[object, object, _Called]:
    """Call a function, in the context variables of its attempt."""
    try:
        result = call.call()
    except _INTERRUPTS as error:
        return Interruption(error)
    except BaseException as error:  # noqa: BLE001 (becomes the attempt's outcome)
        return call.raised(error)
    if inspect.isawaitable(result):
        return _finish(call, result)
    return call.returned(result)


async def _finish(call: DirectCall, started: Awaitable[object]) -> _Called:
    """Await what a function has returned."""
    try:
        result = await started
    except _INTERRUPTS as error:
        return Interruption(error)
    except BaseException as error:  # noqa: BLE001 (becomes the attempt's outcome)
        return call.raised(error)
    return call.returned(result)


def _call_here(call: DirectCall) -> Outcome:
    """Call a plain function in this thread."""
    called: object = call.variables.run(_call, call)
    if inspect.iscoroutine(called):
        called = run_on_own_loop(_in_context(called, call.variables))
    return _outcome_of(called)


async def _in_context(
    work: Coroutine[object, object, _Called], variables: Context
) -> object:
    return await InContext(work, variables)


def _outcome_of(called: object) -> Outcome:
    """The outcome of a call that has ended; an interrupt is raised."""
    if isinstance(called, Interruption):
        raise called.error from None
    assert isinstance(called, Outcome)
    return called


class _LoopCalls:
    """Makes the calls of one run on the running event loop, and in threads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads: TaskThreads | None = None

    async def outcome_of(self, call: DirectCall) -> Outcome:
        """The outcome of a call; a plain function holds up no event loop."""
        called: object
        if call.is_async:
            called = call.variables.run(_call, call)
        else:
            if self._threads is None:
                self._threads = TaskThreads(self._loop)
            function = partial(_call, call)
            called = await self._threads.result_of(function, call.variables)
        if inspect.iscoroutine(called):
            called = await self._result_of(called, call.variables)
        return _outcome_of(called)

    async def _result_of(
        self, work: Coroutine[object, object, _Called], variables: Context
    ) -> object:
        """Run it as a task of its own, which may cancel itself."""
        task = self._loop.create_task(work, context=variables)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    def close(self) -> None:
        """End the threads that are free."""
        if self._threads is not None:
            self._threads.close()


def _prepared(workflow: Workflow) -> _Prepared:
    """What a workflow is made into, made at its first run and kept with it."""
    kept = workflow.direct
    if (
        isinstance(kept, _Prepared)
        and kept.graph is workflow.graph
        and kept.functions is workflow.functions
    ):
        return kept
    registry = Registry()
    registry.register(workflow)
    kept = workflow.direct = _Prepared(
        graph=workflow.graph,
        functions=workflow.functions,
        registry=registry,
        is_direct=can_run_directly(workflow, registry),
        is_plain=not any(map(inspect.iscoroutinefunction, workflow.functions.values())),
    )
    return kept

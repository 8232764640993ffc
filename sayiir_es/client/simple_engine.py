"""The simple engine: a workflow run in this process, with no log and no state.

Theory of operation. It walks the graph with plain recursion. Values pass through the
payload codec between tasks as they do in the durable engine, so that none passes here
and fails there. Retries and time-outs hold; a delay sleeps; a wait for a signal
is an error, because nobody could send one. Branches run one after the other.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, assert_never

from sayiir_es.client.loop_thread import Interruption, LoopThread
from sayiir_es.core.authoring.loop_result import LoopResult, loop_result_of
from sayiir_es.core.backoff import retry_delay_ms
from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.graph.paths import decode_segment, join
from sayiir_es.core.model.errors import (
    DecodeError,
    DeserializationError,
    EncodeError,
    TaskError,
)
from sayiir_es.core.nodes.route import branch_for, chain_for
from sayiir_es.core.nodes.task import timeout_text
from sayiir_es.engine.attempts.outcomes import error_text
from sayiir_es.engine.attempts.task_context import CONTEXT, TaskExecutionContext
from sayiir_es.engine.attempts.task_threads import Call, TaskThreads
from sayiir_es.engine.attempts.tracing import attempt_span
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.pydantic_models import dump_models, validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.workflow import Workflow


def run_simply(workflow: Workflow, value: object) -> object:
    """Run a workflow in this process and return its output.

    Raises:
        TaskError: if a task failed, no branch matched, a loop ran too often, or there
            is a wait for a signal.
        DeserializationError: if a loop's body or a route's key function returned what
            its construct does not take.
    """
    thread = LoopThread("sayiir-simple")
    try:
        return thread.call(run_on_this_loop(workflow, value))
    finally:
        thread.close()


async def run_on_this_loop(workflow: Workflow, value: object) -> object:
    """As `run_simply`, on the event loop of the caller."""
    try:
        return await SimpleRun(workflow).run(value)
    except Interruption as interrupted:
        raise interrupted.error from None


class SimpleRun:
    """One run of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._graph = workflow.graph
        self._threads: TaskThreads | None = None

    async def run(self, value: object) -> object:
        """The output of the workflow."""
        self._threads = TaskThreads(asyncio.get_running_loop())
        try:
            data = encode_payload(dump_models(value))
            return plain(await self._chain(self._graph.chain, "", data))
        finally:
            self._threads.close()

    async def _chain(
        self, chain: tuple[Node, ...], prefix: str, data: bytes | LoopResult[object]
    ) -> bytes | LoopResult[object]:
        for node, segment in zip(chain, segments(chain), strict=True):
            path = join(prefix, segment)
            payload = (
                encode_payload(data.value) if isinstance(data, LoopResult) else data
            )
            match node:
                case TaskNode():
                    data = await self._task(node, path, payload)
                case DelayNode():
                    await asyncio.sleep(node.duration_ms / 1000)
                case SignalNode():
                    raise TaskError(
                        f"Cannot resume workflow: AwaitSignal '{node.id}' not "
                        "supported in sync executor"
                    )
                case ForkNode():
                    data = await self._fork(node, path, payload)
                case RouteNode():
                    data = await self._route(node, path, payload)
                case LoopNode():
                    data = await self._loop(node, path, payload)
                case ChildNode():
                    data = await self._chain(node.chain, path, payload)
                case _:
                    assert_never(node)
        return data

    # --- containers -------------------------------------------------------------------

    async def _fork(self, node: ForkNode, path: str, data: bytes) -> bytes:
        results: dict[str, object] = {}
        for segment, chain in inner_chains(node):
            name, mark, number = segment.rpartition("#")
            key = decode_segment(name if mark else segment) + mark + number * bool(mark)
            results[key] = plain(await self._chain(chain, join(path, segment), data))
        return encode_payload(results)

    async def _route(self, node: RouteNode, path: str, data: bytes) -> bytes:
        key_fn = TaskNode(id=f"{node.id}::key_fn")
        key = plain(await self._task(key_fn, path, data))
        if not isinstance(key, str):
            raise DeserializationError(
                f"Failed to decode input for task {node.id!r} (expected String "
                f"(branch key)): {type(key).__name__}"
            )
        branch = branch_for(node, key)
        if branch is None:
            raise TaskError(f"Branch node {node.id!r}: no branch matches key {key!r}")
        chain = chain_for(node, branch)
        result = plain(await self._chain(chain, join(path, branch), data))
        return encode_payload({"branch": key, "result": result})

    async def _loop(self, node: LoopNode, path: str, data: bytes) -> bytes:
        for _ in range(node.max_iterations):
            result = await self._chain(node.body, path, data)
            if not isinstance(result, LoopResult):
                raise DeserializationError(
                    f"Failed to decode input for task {node.id!r} (expected "
                    f"LoopEnvelope): {result[:80]!r}"
                )
            data = encode_payload(result.value)
            if result.is_done:
                return data
        if node.on_max == "exit_with_last":
            return data
        raise TaskError(
            f"Loop {node.id!r} exceeded max iterations ({node.max_iterations})"
        )

    # --- tasks ------------------------------------------------------------------------

    async def _task(
        self, node: TaskNode, path: str, data: bytes
    ) -> bytes | LoopResult[object]:
        function = self._workflow.functions[path]
        attempt = 0
        while True:
            attempt += 1
            limit = asyncio.timeout(
                None if node.timeout_ms is None else node.timeout_ms / 1000
            )
            try:
                async with limit:
                    result = await self._call(function, node, data, attempt)
                return self._encoded(path, dump_models(result))
            except (DecodeError, Interruption):
                raise
            except Exception as error:  # noqa: BLE001 (becomes the TaskError)
                failure = error
            retry = None if isinstance(failure, EncodeError) else node.retry
            if retry is None or attempt > retry.max_retries:
                if limit.expired():
                    text = timeout_text(node.id, node.timeout_ms or 0)
                else:
                    trace = "".join(traceback.format_exception(failure))
                    text = f"{error_text(failure)}\n\n{trace}"
                raise TaskError(text) from failure
            await asyncio.sleep(retry_delay_ms(retry, attempt, path) / 1000)

    def _encoded(self, path: str, result: object) -> bytes | LoopResult[object]:
        place = self._graph.place(path)
        if place is not None and place.ends_loop:
            loop_result = loop_result_of(result)
            if loop_result is not None:
                # A value that JSON cannot hold is a failure of this task.
                encode_payload(loop_result.value)
                return loop_result
        return encode_payload(result)

    async def _call(
        self, function: Function, node: TaskNode, data: bytes, attempt: int
    ) -> object:
        metadata = self._graph.metadata
        context = TaskExecutionContext(
            workflow_id=self._graph.name,
            instance_id=self._graph.name,
            task_id=node.id,
            node=node,
            workflow_metadata=None if metadata is None else json.loads(metadata),
            attempt=attempt,
            deadline_at=None,
            idempotency_key=f"{self._graph.name}/{node.id}",
        )
        task_context = contextvars.Context()
        task_context.run(CONTEXT.set, context)
        value = validate_input(function, decode_payload(data))
        loop = asyncio.get_running_loop()
        if inspect.iscoroutinefunction(function):

            async def asynchronous() -> object:
                with carry_interruptions(), attempt_span(context):
                    return await function(value)

            return await loop.create_task(asynchronous(), context=task_context)
        ended: asyncio.Future[Call] = loop.create_future()

        def synchronous() -> object:
            with carry_interruptions(), attempt_span(context):
                return function(value)

        def on_done(call: Call) -> None:
            if not ended.done():
                ended.set_result(call)

        assert self._threads is not None
        self._threads.submit(Call(synchronous, task_context, on_done))
        call = await ended
        if call.error is not None:
            raise call.error
        if inspect.isawaitable(call.result):
            return await loop.create_task(
                await_result(call.result), context=task_context
            )
        return call.result


@contextmanager
def carry_interruptions() -> Generator[None]:
    """Turn what would end the event loop into an `Interruption`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        raise Interruption(error) from error


async def await_result(value: Awaitable[object]) -> object:
    """Await what a synchronous function returned."""
    with carry_interruptions():
        return await value


def plain(data: bytes | LoopResult[object]) -> object:
    """The value that is passed on, without the wrapper of a loop's body."""
    return data.value if isinstance(data, LoopResult) else decode_payload(data)

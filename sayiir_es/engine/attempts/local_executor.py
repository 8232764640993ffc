"""Runs attempts in this process: async tasks on the loop, sync ones on threads.

Theory of operation. Everything that can go wrong with an attempt goes wrong in here and
becomes its outcome: an input that does not decode, an exception, a result that does not
encode or is too large. Each started job delivers exactly once, unless it was abandoned.
A deadline is the owner's to judge; it abandons the attempt, and what a sync one still
returns is delivered late, to be rejected by the log.

Encoding a result runs users' code too (a model's serializer, a `__str__`), so it stands
under the same `except` as the task itself. `stage` tells whose fault an exception is.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from typing import TYPE_CHECKING, Literal

import structlog

from sayiir_es.core.model.errors import DecodeError
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.engine.attempts.outcomes import OutcomeMaker, said
from sayiir_es.engine.attempts.slot_queue import SlotQueue
from sayiir_es.engine.attempts.task_context import CONTEXT, TaskExecutionContext
from sayiir_es.engine.attempts.task_threads import Call, TaskThreads
from sayiir_es.engine.attempts.tracing import attempt_span
from sayiir_es.wire.payload import decode_payload
from sayiir_es.wire.pydantic_models import validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextvars import Context

    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.executor_port import Job, Token

logger = structlog.get_logger()

AGING_INTERVAL_MS = 300_000
"""How long an attempt waits to gain one step of priority."""


class _Running:
    """A job with its slot, and how to reach what runs it."""

    __slots__ = (
        *("abandoned", "awaited", "call", "cancel_due", "cancels", "context"),
        *("job", "outcome", "quiet", "stage", "task"),
    )

    def __init__(self, job: Job, context: TaskExecutionContext) -> None:
        self.job = job
        self.context = context
        self.task: asyncio.Task[None] | None = None
        self.call: Call | None = None
        self.awaited: Awaitable[object] | None = None
        self.outcome: Outcome | None = None
        self.stage: Literal["decoding", "running", "encoding"] = "decoding"
        self.cancel_due = False
        self.cancels = False
        self.abandoned = False
        self.quiet = False


class LocalExecutor:
    """The executor of a worker's own process; see `execution.Executor`.

    With `propagate_interrupts`, a `KeyboardInterrupt` or `SystemExit` of a task is kept
    in `interrupted` for the caller, and the attempt is withdrawn.
    """

    def __init__(
        self,
        max_concurrent_tasks: int,
        *,
        worker_id: str,
        limits: Limits = DEFAULT_LIMITS,
        aging_interval_ms: int = AGING_INTERVAL_MS,
        propagate_interrupts: bool = False,
    ) -> None:
        self.interrupted: BaseException | None = None
        self._outcomes = OutcomeMaker(worker_id, limits)
        self._propagate = propagate_interrupts
        self._slots = SlotQueue(
            max_concurrent_tasks, aging_interval_ms=aging_interval_ms
        )
        self._running: dict[Token, _Running] = {}
        self._threads: TaskThreads | None = None
        self._granting = False
        self._grant_due = False
        self._closed = False

    # --- the port ---------------------------------------------------------------------

    def reserve(self) -> bool:
        """Take a slot for a job at once, if one is free and nothing queues."""
        return self._slots.reserve()

    def release(self) -> None:
        """Give back a reserved slot whose job will not start."""
        self._slots.release()
        self._grant()

    def enqueue(self, job: Job) -> None:
        """Queue for a slot; `job.granted` follows, the slot then being reserved."""
        self._slots.enqueue(job)
        if self._slots.has_free and not self._grant_due:
            self._grant_due = True
            asyncio.get_running_loop().call_soon(self._grant)

    def start(self, job: Job) -> None:
        """Run a job in the slot that was reserved for it."""
        metadata = job.workflow_metadata
        context = TaskExecutionContext(
            workflow_id=job.workflow,
            instance_id=job.instance_id,
            task_id=job.node.id,
            node=job.node,
            workflow_metadata=None if metadata is None else json.loads(metadata),
            attempt=job.attempt,
            deadline_at=job.deadline_at_ms,
            idempotency_key=f"{job.instance_id}/{job.run}/{job.path}",
        )
        running = self._running[job.token] = _Running(job, context)
        own = contextvars.Context()
        own.run(CONTEXT.set, context)
        if inspect.iscoroutinefunction(job.function):
            self._spawn(running, self._run_async, own)
            return
        if self._threads is None:
            self._threads = TaskThreads(asyncio.get_running_loop())

        def call() -> None:
            with attempt_span(context):
                given = validate_input(job.function, decode_payload(job.input))
                running.stage = "running"
                result = job.function(given)
            if inspect.isawaitable(result):
                running.awaited = result
            else:
                self._complete(running, result)

        running.call = Call(call, own, lambda ended: self._sync_ended(running, ended))
        self._threads.submit(running.call)

    def withdraw(self, job: Job) -> bool:
        """Take a queued job back; True if it had no slot yet and now never gets one."""
        return self._slots.withdraw(job)

    def request_cancel(self, job: Job, grace_s: float) -> None:
        """Tell a running job; async ones end after the grace, and are withdrawn."""
        running = self._running.get(job.token)
        if running is None or running.context.cancelled:
            return
        running.context.cancelled = True
        asyncio.get_running_loop().call_later(grace_s, self._cancel, running)

    def abandon(self, job: Job, *, deliver: bool) -> None:
        """Stop caring: async ones are cancelled, a sync one's thread is replaced."""
        running = self._running.pop(job.token, None)
        if running is None:
            return
        running.abandoned = True
        running.quiet = not deliver
        if running.task is not None:
            running.quiet = True
            running.task.cancel()
        elif (
            running.call is not None
            and self._threads is not None
            and self._threads.abandon(running.call)
        ):
            logger.warning(
                "executor.thread_abandoned",
                task_id=job.node.id,
                instance_id=job.instance_id,
                attempt=job.attempt,
                abandoned=self._threads.abandoned,
            )
        self.release()

    def running(self) -> Mapping[Token, Job]:
        """The jobs that hold a slot now, by token."""
        return {token: found.job for token, found in self._running.items()}

    async def close(self) -> None:
        """Cancel what runs and end the threads that are idle; waits for nobody."""
        self._closed = True
        for running in list(self._running.values()):
            self.abandon(running.job, deliver=False)
        if self._threads is not None:
            self._threads.close()

    # --- inside -----------------------------------------------------------------------

    def _grant(self) -> None:
        self._grant_due = False
        if self._granting:
            return  # a granted job gave its slot back: the loop below goes on with it
        self._granting = True
        try:
            while not self._closed and (job := self._slots.grant()) is not None:
                job.granted(job)
        finally:
            self._granting = False

    def _cancel(self, running: _Running) -> None:
        running.cancel_due = True
        if running.task is not None and not running.task.done():
            running.cancels = True
            running.task.cancel()

    async def _run_async(self, running: _Running) -> None:
        job = running.job
        failed: BaseException | None = None
        try:
            with attempt_span(running.context):
                given = validate_input(job.function, decode_payload(job.input))
                running.stage = "running"
                awaited = job.function(given)
                result = await awaited if inspect.isawaitable(awaited) else awaited
            self._complete(running, result)
        except BaseException as error:  # noqa: BLE001 (becomes the attempt's outcome)
            failed = error
        self._end(running, failed)

    def _sync_ended(self, running: _Running, call: Call) -> None:
        awaited = running.awaited
        if awaited is None:
            self._end(running, call.error)
            return
        if running.abandoned or running.cancel_due:
            running.cancels = True
            self._end(running, asyncio.CancelledError())
            return
        # A sync function that returns an awaitable: it is awaited on the loop.
        running.call = None

        async def finish(running: _Running) -> None:
            failed: BaseException | None = None
            try:
                self._complete(running, await awaited)
            except BaseException as error:  # noqa: BLE001 (as above)
                failed = error
            self._end(running, failed)

        self._spawn(running, finish, call.context)

    def _spawn(
        self,
        running: _Running,
        work: Callable[[_Running], Coroutine[None, None, None]],
        context: Context,
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # before its first step: nothing of it has run
                self._end(running, asyncio.CancelledError())

        loop = asyncio.get_running_loop()
        running.task = loop.create_task(work(running), context=context)
        running.task.add_done_callback(ended)

    def _complete(self, running: _Running, result: object) -> None:
        running.stage = "encoding"
        running.outcome = self._outcomes.completed(running.job, result)

    def _end(self, running: _Running, failed: BaseException | None) -> None:
        job = running.job
        outcome = running.outcome
        if inspect.iscoroutine(running.awaited):
            running.awaited.close()  # nothing happens where it has ended
        if failed is not None or outcome is None:
            outcome = self._failure(running, failed or asyncio.CancelledError())
        if not running.abandoned:
            self._running.pop(job.token, None)
            self._slots.release()
        try:
            if not running.quiet and not self._closed:
                job.deliver(job, outcome)
        finally:
            if not running.abandoned:
                self._grant()

    def _failure(self, running: _Running, failed: BaseException) -> Outcome:
        job = running.job
        dropped = running.call is not None and running.call.phase == "dropped"
        if dropped or (running.cancels and isinstance(failed, asyncio.CancelledError)):
            return self._outcomes.withdrawn(job)
        if self._propagate and isinstance(failed, KeyboardInterrupt | SystemExit):
            self.interrupted = failed
            return self._outcomes.withdrawn(job)
        if running.stage == "decoding" and isinstance(failed, DecodeError):
            return self._outcomes.failed(job, "decode", str(failed), retriable=False)
        name = type(failed).__name__
        if running.stage == "encoding" and isinstance(failed, Exception):
            if isinstance(failed, MemoryError):
                return self._outcomes.failed(job, name, said(failed))
            return self._outcomes.failed(job, "encode", said(failed), retriable=False)
        return self._outcomes.failed(job, name, said(failed))

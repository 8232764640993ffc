"""Runs attempts here: async tasks on the loop, sync ones on threads, some in processes.

Theory of operation. Everything that can go wrong with an attempt goes wrong in here and
becomes its outcome: an input that does not decode, an exception, a result that does not
encode or is too large. Each started attempt reports exactly once, unless it was
abandoned. A deadline is the owner's to judge; it abandons the attempt, and what a sync
one still returns is reported late, to be rejected by the log. The thread of such a one
cannot be stopped. A number of them may be left behind, then they keep their slots.

A task that asks for a process gets one of a pool (`processes`), which has slots of its
own: its attempts wait for processes, and take no slot of the others. Such an attempt is
killed where others are cancelled or left behind.

Encoding a result runs users' code too (a model's serializer, a `__str__`), so it stands
under the same `except` as the task itself. `stage` tells whose fault an exception is.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Literal

from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.engine.attempts.attempt import State
from sayiir_es.engine.attempts.executor_port import ExecutorState
from sayiir_es.engine.attempts.held_inputs import HeldInputs
from sayiir_es.engine.attempts.left_behind import LeftBehind
from sayiir_es.engine.attempts.named_values import (
    context_of,
    given_value,
    with_named,
)
from sayiir_es.engine.attempts.outcomes import OutcomeMaker
from sayiir_es.engine.attempts.processes.import_guard import refuse_to_run
from sayiir_es.engine.attempts.processes.process_pool import ProcessPool
from sayiir_es.engine.attempts.slot_queue import SlotQueue
from sayiir_es.engine.attempts.task_threads import Call, TaskThreads
from sayiir_es.engine.attempts.task_variables import task_variables
from sayiir_es.engine.attempts.tracing import attempt_span
from sayiir_es.engine.meter import NO_METER
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
    from contextvars import Context

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.processes.process_pool import ProcessCall
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.worker_settings import ProcessSettings
    from sayiir_es.wire.payload_codec import Payloads

logger = get_logger(__name__)

THREADS_LEFT_MAX = 100
"""How many threads that nobody can stop may run beside those of the slots. Each beyond
keeps the slot of its attempt until it ends: with as many again as there are slots, no
attempt runs any more, and those that are owed wait for one of these threads."""

AGING_INTERVAL_MS = 300_000
"""How long an attempt waits to gain one step of priority."""


class _Execution:
    """What runs one attempt, and how to reach it."""

    __slots__ = (
        "abandoned",
        "attempt",
        "awaitable",
        "call",
        "cancel_due",
        "cancels",
        "context",
        "outcome",
        "process_call",
        "silent",
        "stage",
        "task",
    )

    def __init__(self, attempt: Attempt, context: TaskExecutionContext) -> None:
        self.attempt = attempt
        self.context = context
        self.task: asyncio.Task[None] | None = None
        self.call: Call | None = None
        self.awaitable: Awaitable[object] | None = None
        """What a sync function returned, where that is to be awaited."""
        self.process_call: ProcessCall | None = None
        self.outcome: Outcome | None = None
        self.stage: Literal["decoding", "running", "encoding"] = "decoding"
        self.cancel_due = False
        """The grace after a cancel is over."""
        self.cancels = False
        """A `CancelledError` that comes now is ours."""
        self.abandoned = False
        self.silent = False
        """Nobody wants its outcome."""


class LocalExecutor:
    """The executor of a worker's own process; see `executor_port.Executor`.

    With `propagate_interrupts`, a `KeyboardInterrupt` or `SystemExit` of a task is kept
    in `interrupted` for the caller, and the attempt is withdrawn. Without `processes`
    tasks that ask for a process run as all others do.
    """

    def __init__(  # noqa: PLR0913 (one parameter an option)
        self,
        max_concurrent_tasks: int,
        *,
        worker_id: str,
        limits: Limits = DEFAULT_LIMITS,
        payloads: Payloads = JSON_PAYLOADS,
        aging_interval_ms: int = AGING_INTERVAL_MS,
        threads_left_max: int = THREADS_LEFT_MAX,
        propagate_interrupts: bool = False,
        meter: Meter = NO_METER,
        processes: ProcessSettings | None = None,
    ) -> None:
        refuse_to_run()
        self.interrupted: BaseException | None = None
        self._meter = meter
        self._payloads = payloads
        self._outcomes = OutcomeMaker(worker_id, limits, payloads)
        self._propagate = propagate_interrupts
        self._slots = SlotQueue(
            max_concurrent_tasks, aging_interval_ms=aging_interval_ms
        )
        self._executions: dict[Attempt, _Execution] = {}
        self._threads: TaskThreads | None = None
        self._left_behind = LeftBehind(threads_left_max)
        self._pool: ProcessPool | None = None
        if processes is not None:
            self._pool = ProcessPool(
                processes,
                worker_id=worker_id,
                limits=limits,
                payloads=payloads,
                aging_interval_ms=aging_interval_ms,
            )
            self._pool.on_free = self._grant
        self._inputs = HeldInputs()
        self._granting = False
        self._grant_due = False
        self._closed = False

    # --- the port ---------------------------------------------------------------------

    def reserve(self, attempt: Attempt) -> bool:
        """Grant a slot at once, if one is free and nothing queues."""
        attempt.offered_s = self._meter.now_s()
        return self._slots_of(attempt).reserve(attempt)

    def release(self, attempt: Attempt) -> None:
        """Give back the slot of an attempt that was granted one and will not start."""
        self._slots_of(attempt).release()
        self._grant()

    def pass_on(self, attempt: Attempt) -> None:
        """A queued attempt goes elsewhere: it is granted, and waits here no more."""
        self._slots_of(attempt).pass_on(attempt)

    def enqueue(self, attempt: Attempt) -> None:
        """Queue for a slot; `granted` of the attempt's owner follows."""
        slots = self._slots_of(attempt)
        slots.enqueue(attempt)
        if slots is not self._slots and self._pool is not None:
            self._pool.demand(attempt)
        if slots.has_free and not self._grant_due:
            self._grant_due = True
            asyncio.get_running_loop().call_soon(self._grant)

    def take_room(self, attempt: Attempt, size: int) -> bool:
        """Room for an input of so many bytes; without it `room_freed` follows."""
        return self._inputs.take(attempt, size)

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in the slot that was granted to it."""
        attempt.move(State.RUNNING)
        attempt.started_s = asyncio.get_running_loop().time()
        runnable = attempt.runnable
        assert runnable is not None
        graph = runnable.graph
        began_s = attempt.began_s = self._meter.now_s()
        self._meter.attempt_started(graph.name, began_s - attempt.offered_s)
        context = context_of(attempt)
        execution = self._executions[attempt] = _Execution(attempt, context)
        if runnable.in_process and self._pool is not None:
            execution.process_call = self._pool.start(
                attempt,
                context,
                lambda outcome: self._process_ended(execution, outcome),
            )
            return
        own = task_variables(context)
        if runnable.is_async:
            self._spawn(execution, self._run_async, own)
            return
        if self._threads is None:
            self._threads = TaskThreads(asyncio.get_running_loop())

        def call() -> None:
            with attempt_span(context, attempt.trace):
                value = given_value(attempt, self._payloads)
                called = with_named(attempt, context, self._payloads)
                execution.stage = "running"
                result = called(value)
                if inspect.isawaitable(result):
                    execution.awaitable = result
                else:
                    self._complete(execution, result)

        execution.call = Call(
            call, own, lambda ended: self._sync_ended(execution, ended)
        )
        self._threads.submit(execution.call)

    def withdraw(self, attempt: Attempt) -> bool:
        """Take a queued attempt back; False if it does not queue."""
        return self._slots_of(attempt).withdraw(attempt)

    def request_cancel(self, attempt: Attempt, grace_s: float) -> None:
        """Tell a running attempt; behind the grace it is withdrawn.

        An async one is cancelled then, and has the grace once more to end by itself.
        What still runs, as a thread does that nobody can stop, is left behind; a
        process is killed.
        """
        execution = self._executions.get(attempt)
        if execution is None or execution.context.cancelled:
            return
        execution.context.cancelled = True
        if execution.process_call is not None and self._pool is not None:
            self._pool.tell_cancelled(execution.process_call)
        loop = asyncio.get_running_loop()
        loop.call_later(grace_s, self._cancel, execution, grace_s)

    def abandon(self, attempt: Attempt, *, report: bool) -> None:
        """Withdraw a running attempt: its slot is free again."""
        execution = self._executions.pop(attempt, None)
        if execution is None:
            return
        attempt.move(State.WITHDRAWN)
        self._meter.attempt_abandoned(
            execution.context.workflow_id,
            attempt.deadline_at_ms,
            self._meter.now_s() - attempt.began_s,
        )
        execution.abandoned = True
        if execution.call is None:  # a thread that is left behind keeps its input
            self._inputs.give_back(attempt)
        execution.silent = not report
        if execution.process_call is not None and self._pool is not None:
            self._pool.kill(execution.process_call)
            return  # its slot is free again when another process is there
        if execution.task is not None:
            execution.silent = True
            execution.task.cancel()
        elif (
            execution.call is not None
            and self._threads is not None
            and self._threads.abandon(execution.call)
        ):
            logger.warning(
                "executor.thread_abandoned",
                task_id=execution.context.task_id,
                instance_id=attempt.instance_id,
                attempt=attempt.number,
                abandoned=self._threads.abandoned,
            )
            if not self._left_behind.add(attempt, execution.context.task_id):
                return  # its thread has the slot until it ends
        self.release(attempt)

    def running(self) -> Collection[Attempt]:
        """The attempts that run now."""
        return self._executions.keys()

    def observe(self) -> ExecutorState:
        """What it does now."""
        threads, slots, queued = self._threads, self._slots.count, self._slots.queued
        if self._pool is not None and self._pool.is_used:
            slots += self._pool.slots.count
            queued += self._pool.slots.queued
        return ExecutorState(
            slots=slots,
            running=len(self._executions),
            queued=queued,
            input_bytes=self._inputs.size,
            threads_abandoned=0 if threads is None else threads.abandoned,
        )

    @property
    def idle_slots(self) -> int:
        """How many attempts could have a slot at once, without those of processes."""
        return self._slots.idle

    @property
    def idle_processes(self) -> int:
        """How many attempts could have a process of their own at once."""
        return 0 if self._pool is None else self._pool.idle

    def warm_up(self, workflows: Iterable[Workflow]) -> None:
        """Start a process, if any task of these is to run in one.

        Raises:
            UsageError: if a process cannot import what it needs.
        """
        if self._pool is not None:
            self._pool.warm_up(workflows)

    async def close(self) -> None:
        """Cancel what runs and end the threads that are idle; waits for nobody.

        But for idle processes, which have two seconds to end by themselves.
        """
        self._closed = True
        if self._pool is not None:
            self._pool.close_soon()
        for attempt in list(self._executions):
            self.abandon(attempt, report=False)
        if self._threads is not None:
            self._threads.close()
        if self._pool is not None:
            await self._pool.close()

    # --- inside -----------------------------------------------------------------------

    def _grant(self) -> None:
        self._grant_due = False
        if self._granting:
            return  # a granted attempt gave its slot back: the loop below goes on
        self._granting = True
        try:
            while not self._closed and (attempt := self._next_granted()) is not None:
                attempt.owner.granted(attempt)
        finally:
            self._granting = False

    def _is_any_queued(self) -> bool:
        return self._slots.queued > 0 or (
            self._pool is not None and self._pool.slots.queued > 0
        )

    def _next_granted(self) -> Attempt | None:
        attempt = self._slots.grant()
        if attempt is None and self._pool is not None:
            return self._pool.slots.grant()
        return attempt

    def _slots_of(self, attempt: Attempt) -> SlotQueue:
        if self._pool is None or (runnable := attempt.runnable) is None:
            return self._slots
        return self._pool.slots if runnable.in_process else self._slots

    def _cancel(self, execution: _Execution, grace_s: float) -> None:
        execution.cancel_due = True
        call, runnable = execution.process_call, execution.attempt.runnable
        if (
            call is not None
            and self._pool is not None
            and runnable is not None
            and runnable.is_async
        ):
            self._pool.interrupt(call)
            asyncio.get_running_loop().call_later(grace_s, self._leave, execution)
        elif execution.task is None:
            self._leave(execution)
        elif not execution.task.done():
            execution.cancels = True
            execution.task.cancel()
            asyncio.get_running_loop().call_later(grace_s, self._leave, execution)

    def _leave(self, execution: _Execution) -> None:
        """It was to end and has not: the run goes on, and nothing of it counts."""
        attempt = execution.attempt
        if self._executions.get(attempt) is execution and not self._closed:
            self.abandon(attempt, report=False)
            attempt.owner.reported(attempt, self._outcomes.withdrawn(attempt))

    async def _run_async(self, execution: _Execution) -> None:
        attempt = execution.attempt
        failed: BaseException | None = None
        try:
            with attempt_span(execution.context, attempt.trace):
                value = given_value(attempt, self._payloads)
                called = with_named(attempt, execution.context, self._payloads)
                execution.stage = "running"
                returned = called(value)
                result = await returned if inspect.isawaitable(returned) else returned
                self._complete(execution, result)
        except BaseException as error:  # noqa: BLE001 (becomes the attempt's outcome)
            failed = error
        self._end(execution, failed)

    def _process_ended(self, execution: _Execution, outcome: Outcome) -> None:
        execution.outcome = outcome
        self._end(execution, None)

    def _sync_ended(self, execution: _Execution, call: Call) -> None:
        awaitable = execution.awaitable
        if awaitable is None:
            self._end(execution, call.error)
            return
        if execution.abandoned or execution.cancel_due:
            execution.cancels = True
            self._end(execution, asyncio.CancelledError())
            return
        # A sync function that returns an awaitable: it is awaited on the loop.
        execution.call = None

        async def finish(execution: _Execution) -> None:
            failed: BaseException | None = None
            try:
                self._complete(execution, await awaitable)
            except BaseException as error:  # noqa: BLE001 (as above)
                failed = error
            self._end(execution, failed)

        self._spawn(execution, finish, call.context)

    def _spawn(
        self,
        execution: _Execution,
        work: Callable[[_Execution], Coroutine[None, None, None]],
        context: Context,
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled():  # before its first step: nothing of it has run
                self._end(execution, asyncio.CancelledError())

        loop = asyncio.get_running_loop()
        execution.task = loop.create_task(work(execution), context=context)
        execution.task.add_done_callback(ended)

    def _complete(self, execution: _Execution, result: object) -> None:
        execution.stage = "encoding"
        execution.outcome = self._outcomes.completed(execution.attempt, result)

    def _end(self, execution: _Execution, failed: BaseException | None) -> None:
        attempt = execution.attempt
        outcome = execution.outcome
        awaitable = execution.awaitable
        if awaitable is not None and inspect.iscoroutine(awaitable):
            awaitable.close()  # nothing happens where it has ended
        if failed is not None or outcome is None:
            outcome = self._failure(execution, failed or asyncio.CancelledError())
        if not execution.abandoned:
            self._meter.attempt_ended(
                execution.context.workflow_id,
                outcome.result,
                self._meter.now_s() - attempt.began_s,
            )
        frees_slot = not execution.abandoned or self._left_behind.remove(attempt)
        self._executions.pop(attempt, None)
        self._inputs.give_back(attempt)
        if frees_slot and execution.process_call is None:
            self._slots.release()
        try:
            if not execution.silent and not self._closed:
                attempt.owner.reported(attempt, outcome)
        finally:
            if frees_slot and self._is_any_queued():
                self._grant()

    def _failure(self, execution: _Execution, failed: BaseException) -> Outcome:
        attempt = execution.attempt
        dropped = execution.call is not None and execution.call.phase == "dropped"
        if dropped or (
            execution.cancels and isinstance(failed, asyncio.CancelledError)
        ):
            return self._outcomes.withdrawn(attempt)
        if self._propagate and isinstance(failed, KeyboardInterrupt | SystemExit):
            self.interrupted = failed
            return self._outcomes.withdrawn(attempt)
        return self._outcomes.raised(attempt, execution.stage, failed)

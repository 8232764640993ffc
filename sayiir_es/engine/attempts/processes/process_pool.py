"""The processes of one executor, and who runs in which.

Theory of operation. There are as many *seats* as there may be processes, made as they
are asked for. A seat has a process that is starting, idle or busy, or none, where the
last one could not begin or has ended by itself: then the next attempt starts another,
and if that cannot begin either, it is the attempt that has failed, with the reason. An
attempt has a slot only when there is a seat for it: nothing waits in here.

A process whose attempt is timed out, cancelled or beyond its memory is killed, with all
that it began, and the seat gets another one at once. So does one that has ended by what
its attempt did; the attempt has failed then (`process_died`), and may be tried again. A
process that keeps threads or much memory behind its attempt is replaced, gently.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final

from sayiir_es.core.memory_size import text_of_size
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.engine.attempts.outcomes import OutcomeMaker
from sayiir_es.engine.attempts.processes.log_forwarding import write
from sayiir_es.engine.attempts.processes.memory_use import CAN_BE_MEASURED, memory_of
from sayiir_es.engine.attempts.processes.messages import (
    AttemptMessage,
    Beat,
    Cancelled,
    Ended,
    Failed,
    Interrupt,
    Logged,
    Ready,
    Stop,
)
from sayiir_es.engine.attempts.processes.process_outcome import outcome_of
from sayiir_es.engine.attempts.processes.task_process import TaskProcess
from sayiir_es.engine.attempts.processes.worker_setup import WorkerSetup
from sayiir_es.engine.attempts.slot_queue import SlotQueue
from sayiir_es.engine.attempts.tracing import begin_span, end_span
from sayiir_es.engine.tracer import traceparent_of_span
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Span

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.processes.messages import Message
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from sayiir_es.engine.worker_settings import ProcessSettings
    from sayiir_es.wire.payload_codec import Payloads

logger = get_logger(__name__)

DIED: Final = "process_died"
"""The error type of an attempt whose process has ended before it."""

OUT_OF_MEMORY: Final = "out_of_memory"
"""The error type of an attempt whose process had more memory than it may have."""

MEMORY_LOOK_S: Final = 0.05
"""How often the memory of processes that have a limit is looked at."""

THREADS_KEPT_MAX: Final = 64
"""A process with more Python threads behind an attempt is replaced."""

STOP_S: Final = 2.0
"""How long a process may take to end by itself, when it is idle."""

_OTHER_BYTES: Final = 1024 * 1024
"""Of a message beside its payload: an error with its details, or a log line."""


class _State(Enum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    EMPTY = "empty"


class ProcessCall:
    """An attempt that runs in a process, or is about to."""

    __slots__ = (
        "attempt",
        "done",
        "is_cancelled",
        "is_interrupted",
        "number",
        "seat",
        "span",
    )

    def __init__(
        self,
        number: int,
        attempt: Attempt,
        done: Callable[[Outcome], None],
        span: Span | None,
    ) -> None:
        self.number = number
        self.attempt = attempt
        self.done: Callable[[Outcome], None] | None = done
        """None once it has ended."""
        self.span = span
        self.seat: _Seat | None = None
        self.is_cancelled = self.is_interrupted = False

    def end(self, outcome: Outcome | None) -> None:
        """Tell its outcome, if it has not ended; None: it was killed."""
        done, self.done, self.seat = self.done, None, None
        if done is None:
            return
        if self.span is not None:
            end_span(self.span, outcome)
        if outcome is not None:
            done(outcome)


class _Seat:
    """Room for one process."""

    __slots__ = ("call", "first_bytes", "known", "process", "reason", "state")

    def __init__(self) -> None:
        self.state = _State.EMPTY
        self.process: TaskProcess | None = None
        self.call: ProcessCall | None = None
        self.known: set[str] = set()
        """The workflows and other graphs that its process was told of."""
        self.first_bytes = 0
        """The memory of its process before the first attempt."""
        self.reason = ""
        """Why its process could not begin, as it says itself."""


class ProcessPool:
    """Runs attempts in at most so many processes; used on one event loop.

    `slots` grants: one for each seat that is free. What has its slot is started, or the
    slot is given back.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        worker_id: str,
        limits: Limits = DEFAULT_LIMITS,
        payloads: Payloads = JSON_PAYLOADS,
        aging_interval_ms: int = 300_000,
    ) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self._limits = limits
        self._setup = WorkerSetup(
            settings, worker_id=worker_id, limits=limits, payloads=payloads
        )
        self._outcomes = OutcomeMaker(worker_id, limits)
        self.slots = SlotQueue(
            settings.count, aging_interval_ms=aging_interval_ms, free=0
        )
        self.on_free: Callable[[], None] = _nothing
        """Called when a slot is free that was not."""
        self._seats: list[_Seat] = []
        self._free: list[_Seat] = []
        """Idle and empty seats, whose slots are free or granted; the last one is the
        next to be taken."""
        self._numbers = count(1)
        self._stopping: set[TaskProcess] = set()
        """Processes that have no seat any more, and are to end by themselves."""
        self._all_stopped: asyncio.Event | None = None
        self._memory_look: asyncio.TimerHandle | None = None
        self._is_warned = self._is_closed = False

    @property
    def is_used(self) -> bool:
        """Whether any process was asked for."""
        return bool(self._seats)

    @property
    def idle(self) -> int:
        """How many attempts more could have a process, started already or not."""
        if self.slots.queued:
            return 0
        return self._settings.count - sum(seat.call is not None for seat in self._seats)

    def process_ids(self) -> list[int]:
        """The processes that run or start."""
        return [seat.process.pid for seat in self._seats if seat.process is not None]

    def warm_up(self, workflows: Iterable[Workflow]) -> None:
        """Start a process, if any task of these is to run in one.

        Raises:
            UsageError: if a process cannot import what it needs.
        """
        if self._setup.check(workflows) and not self._seats:
            self._spawn(self._new_seat())

    def demand(self, attempt: Attempt) -> None:
        """An attempt waits for a slot: start one more process, up to the limit."""
        runnable = attempt.runnable
        if runnable is not None and runnable.workflow is not None:
            self._setup.add(runnable.workflow)
        starting = sum(seat.state is _State.STARTING for seat in self._seats)
        is_enough = starting >= self.slots.queued or bool(self._free)
        if len(self._seats) < self._settings.count and not is_enough:
            self._spawn(self._new_seat())

    def start(
        self,
        attempt: Attempt,
        context: TaskExecutionContext,
        done: Callable[[Outcome], None],
    ) -> ProcessCall:
        """Run an attempt that has its slot.

        `done` is called later, once, unless the attempt is killed before.
        """
        span = begin_span(context, attempt.trace)
        call = ProcessCall(next(self._numbers), attempt, done, span)
        runnable = attempt.runnable
        assert runnable is not None
        assert runnable.workflow is not None
        problem = self._setup.problem_of(runnable.workflow, runnable.code_path)
        if problem:
            self.slots.release()
            self._fail_later(call, "not_importable", problem, retriable=False)
            return call
        if self._free:
            seat = self._free.pop()
        else:  # the process that was counted on has ended meanwhile
            self.slots.release()
            waiting = (
                one
                for one in self._seats
                if one.state is _State.STARTING and one.call is None
            )
            seat = next(waiting, None) or self._new_seat()
        seat.call, call.seat = call, seat
        if seat.state is _State.EMPTY:
            self._spawn(seat)
        elif seat.state is _State.IDLE:
            self._begin(seat, call)
        return call

    def tell_cancelled(self, call: ProcessCall) -> None:
        """Let the context of an attempt say that it is cancelled."""
        call.is_cancelled = True
        self._say(call, Cancelled(number=call.number))

    def interrupt(self, call: ProcessCall) -> None:
        """Cancel what an async attempt awaits."""
        call.is_interrupted = True
        self._say(call, Interrupt(number=call.number))

    def kill(self, call: ProcessCall) -> None:
        """End an attempt with its process; `done` is not called any more."""
        seat = call.seat
        call.end(None)
        if seat is not None:
            seat.call = None
            if seat.state is _State.BUSY:
                self._replace(seat)

    def close_soon(self) -> None:
        """Start no process any more."""
        self._is_closed = True

    async def close(self) -> None:
        """End all processes: idle ones by themselves, within a limit."""
        self._is_closed = True
        if self._memory_look is not None:
            self._memory_look.cancel()
        for seat in self._seats:
            process, seat.process = seat.process, None
            if process is None:
                continue
            if seat.state is _State.IDLE:
                process.send(Stop())
                self._stopping.add(process)
            else:
                process.close()
        if self._stopping:
            self._all_stopped = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._all_stopped.wait()
        for process in self._stopping:
            process.close()
        self._stopping.clear()

    # --- called by processes ----------------------------------------------------------

    def heard(self, process: TaskProcess, message: Message) -> None:
        """A process said something."""
        if isinstance(message, Logged):
            with contextlib.suppress(Exception):  # a handler's trouble is no worker's
                write(message, f"sayiir-task-{process.pid}")
            return
        seat = self._seat_of(process)
        if seat is None:
            return
        match message:
            case Ready() if seat.state is _State.STARTING:
                seat.state = _State.IDLE
                seat.first_bytes = memory_of(process.pid)
                if seat.call is not None:
                    self._begin(seat, seat.call)
                else:
                    self._set_free(seat)
                    self.on_free()
            case Failed(reason=reason) if seat.state is _State.STARTING:
                seat.reason = reason
            case Ended(number=number) if (
                seat.call is not None and seat.call.number == number
            ):
                self._attempt_ended(seat, seat.call, message)
            case Beat(number=number, details=details) if (
                seat.call is not None and seat.call.number == number
            ):
                with contextlib.suppress(ValueError):  # forged: nobody has gone on
                    seat.call.attempt.take_beat(json.loads(details))
            case _:  # of an attempt that is not wanted any more, or forged
                return

    def ended(self, process: TaskProcess, cause: str) -> None:
        """A process has ended."""
        self._stopping.discard(process)
        if self._all_stopped is not None and not self._stopping:
            self._all_stopped.set()
        seat = self._seat_of(process)
        if seat is None:
            return
        state, call = seat.state, seat.call
        seat.process = None
        if state is _State.BUSY and call is not None:
            self._end_badly(
                seat,
                DIED,
                f"expected an outcome of the attempt's process {process.pid}, but it "
                f"{cause}",
            )
        elif state is _State.STARTING:
            self._could_not_begin(seat, seat.reason or f"it {cause}")
        else:  # its slot stays: the next attempt starts another one
            seat.state = _State.EMPTY
            logger.warning(
                "process.ended",
                worker=self._worker_id,
                reason=f"expected process {process.pid} to wait for attempts, but it "
                f"{cause}: another one is started for the next attempt",
            )

    # --- inside -----------------------------------------------------------------------

    def _seat_of(self, process: TaskProcess) -> _Seat | None:
        return next((one for one in self._seats if one.process is process), None)

    def _new_seat(self) -> _Seat:
        seat = _Seat()
        self._seats.append(seat)
        return seat

    def _set_free(self, seat: _Seat) -> None:
        """Empty seats are taken last."""
        if seat.state is _State.IDLE:
            self._free.append(seat)
        else:
            self._free.insert(0, seat)
        self.slots.release()

    def _spawn(self, seat: _Seat) -> None:
        """Start a process in a seat; all workflows that are known by now are its."""
        if self._is_closed:
            return
        seat.state, seat.reason = _State.STARTING, ""
        try:
            messages, seat.known = self._setup.first_messages()
            process = seat.process = TaskProcess(
                asyncio.get_running_loop(),
                self,
                message_bytes_max=self._limits.payload_bytes + _OTHER_BYTES,
            )
        except (OSError, UsageError) as error:
            self._could_not_begin(seat, str(error))
            return
        for message in messages:
            process.send(message)

    def _could_not_begin(self, seat: _Seat, reason: str) -> None:
        logger.error(
            "process.not_started",
            worker=self._worker_id,
            reason=f"expected a process for tasks to start, but {reason}",
        )
        seat.state, seat.process = _State.EMPTY, None
        call, seat.call = seat.call, None
        self._set_free(seat)
        if call is not None:
            text = f"expected a process for the attempt to start, but {reason}"
            self._fail_later(call, DIED, text)
        asyncio.get_running_loop().call_soon(self.on_free)

    def _fail_later(
        self, call: ProcessCall, error_type: str, text: str, *, retriable: bool = True
    ) -> None:
        """An attempt that is about to start has failed."""
        outcome = self._outcomes.failed(
            call.attempt, error_type, text, retriable=retriable
        )
        asyncio.get_running_loop().call_soon(call.end, outcome)

    def _begin(self, seat: _Seat, call: ProcessCall) -> None:
        attempt, process = call.attempt, seat.process
        runnable = attempt.runnable
        assert process is not None
        assert runnable is not None
        assert runnable.workflow is not None
        seat.state = _State.BUSY
        for message in self._setup.missing_messages(attempt, seat.known):
            process.send(message)
        process.send(
            AttemptMessage(
                number=call.number,
                code=self._setup.add(runnable.workflow).key,
                graph_digest=runnable.graph.digest,
                code_path=runnable.code_path,
                ends_loop=runnable.ends_loop,
                has_takers=bool(runnable.takers),
                instance_id=attempt.instance_id,
                run=attempt.run,
                path=attempt.path,
                attempt=attempt.number,
                lineage=attempt.lineage,
                deadline_at_ms=attempt.deadline_at_ms,
                input=attempt.input,
                named=attempt.named or {},
                traceparent=(
                    None if call.span is None else traceparent_of_span(call.span)
                ),
            )
        )
        if call.is_cancelled:
            process.send(Cancelled(number=call.number))
        if call.is_interrupted:
            process.send(Interrupt(number=call.number))
        if self._memory_limit(call) is not None and self._memory_look is None:
            self._look_later()

    def _attempt_ended(self, seat: _Seat, call: ProcessCall, ended: Ended) -> None:
        seat.call = None
        limit = self._memory_limit(call)
        process = seat.process
        assert process is not None
        kept = 0 if limit is None else memory_of(process.pid) - seat.first_bytes
        keeps_memory = limit is not None and kept * 2 > limit - seat.first_bytes
        if keeps_memory or ended.threads > THREADS_KEPT_MAX:
            self._retire(seat, process)
        else:
            seat.state = _State.IDLE
            self._set_free(seat)
        call.end(outcome_of(self._outcomes, call.attempt, ended, self._limits))
        self.on_free()

    def _end_badly(self, seat: _Seat, error_type: str, text: str) -> None:
        """What a process did has ended it, and its attempt; the seat gets another."""
        call, seat.call = seat.call, None
        assert call is not None
        self._replace(seat)
        call.end(self._outcomes.failed(call.attempt, error_type, text))

    def _replace(self, seat: _Seat) -> None:
        process, seat.process = seat.process, None
        if process is not None:
            process.close()
        self._spawn(seat)

    def _retire(self, seat: _Seat, process: TaskProcess) -> None:
        """Let a process end by itself, and start another one."""
        seat.process = None
        self._stopping.add(process)
        process.send(Stop())
        asyncio.get_running_loop().call_later(STOP_S, self._end_late, process)
        self._spawn(seat)

    def _end_late(self, process: TaskProcess) -> None:
        if process in self._stopping:
            self._stopping.remove(process)
            process.close()

    def _say(self, call: ProcessCall, message: Message) -> None:
        seat = call.seat
        if seat is not None and seat.state is _State.BUSY and seat.process is not None:
            seat.process.send(message)

    # --- memory -----------------------------------------------------------------------

    def _memory_limit(self, call: ProcessCall) -> int | None:
        runnable = call.attempt.runnable
        own = None if runnable is None else runnable.memory
        return self._settings.memory_bytes if own is None else own

    def _look_later(self) -> None:
        if CAN_BE_MEASURED:
            self._memory_look = asyncio.get_running_loop().call_later(
                MEMORY_LOOK_S, self._look_at_memory
            )
        elif not self._is_warned:
            self._is_warned = True
            logger.warning(
                "process.memory_unlimited",
                worker=self._worker_id,
                reason="expected Linux, where the memory of a process can be measured: "
                "here no attempt is held to its limit",
            )

    def _look_at_memory(self) -> None:
        self._memory_look = None
        is_any = False
        for seat in self._seats:
            call, process = seat.call, seat.process
            limit = None if call is None else self._memory_limit(call)
            if seat.state is not _State.BUSY or process is None or limit is None:
                continue
            is_any = True
            size = memory_of(process.pid)
            if size > limit:
                self._end_badly(
                    seat,
                    OUT_OF_MEMORY,
                    f"expected the attempt's process {process.pid} to have at most "
                    f"{text_of_size(limit)} of memory, but it had "
                    f"{text_of_size(size)}: it was killed",
                )
        if is_any and self._memory_look is None:
            self._look_later()


def _nothing() -> None:
    """Nobody is to be told."""

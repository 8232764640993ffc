"""Runs one attempt in the process of a task, and makes the message of its outcome."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import os
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from structlog.contextvars import bind_contextvars

from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.named_values import (
    context_of,
    given_value,
    with_named,
)
from sayiir_es.engine.attempts.processes.messages import Beat, Ended
from sayiir_es.engine.attempts.task_context import CONTEXT, TaskExecutionContext
from sayiir_es.engine.tracer import parent_context
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.outcomes import OutcomeMaker
    from sayiir_es.engine.attempts.processes.messages import AttemptMessage
    from sayiir_es.engine.definitions.registry import Registry, Runnable
    from sayiir_es.wire.payload_codec import Payloads

logger = get_logger(__name__)


class Running:
    """An attempt that runs, and how the thread that hears the worker reaches it."""

    def __init__(self, message: AttemptMessage) -> None:
        self.message = message
        self.number = message.number
        self.context: TaskExecutionContext | None = None
        self.task: asyncio.Task[object] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_cancelled = False
        self.is_interrupted = False

    def cancel(self) -> None:
        """Its context says so from now on."""
        self.is_cancelled = True
        if self.context is not None:
            self.context.cancelled = True

    def interrupt(self) -> None:
        """Cancel what it awaits."""
        self.is_interrupted = True
        task, loop = self.task, self.loop
        if task is not None and loop is not None:
            loop.call_soon_threadsafe(task.cancel)


class _NoOwner:
    """Attempts in here are the worker's: nobody is told of them but by a message."""

    partition = -1

    def granted(self, attempt: Attempt) -> None:
        """Never called."""

    def room_freed(self) -> None:
        """Never called."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """Never called."""


_NO_OWNER = _NoOwner()


class AttemptRunner:
    """Runs attempts on the thread that calls it."""

    def __init__(
        self,
        registry_of: Callable[[str], Registry],
        outcomes: OutcomeMaker,
        payloads: Payloads,
        runner: asyncio.Runner,
        send: Callable[[Beat], object],
    ) -> None:
        self._registry_of = registry_of
        self._outcomes = outcomes
        self._payloads = payloads
        self._runner = runner
        self._send = send
        self._process_id = os.getpid()

    def run(self, running: Running) -> Ended:
        """Run an attempt to its end; whatever it does becomes its outcome."""
        message = running.message
        attempt = Attempt(
            instance_id=message.instance_id,
            run=message.run,
            path=message.path,
            number=message.attempt,
            owner=_NO_OWNER,
            lineage=message.lineage,
            input=message.input,
            named=message.named,
            deadline_at_ms=message.deadline_at_ms,
        )
        try:
            runnable = self._runnable_of(message)
        except Exception as error:  # noqa: BLE001 (users' modules are imported)
            name = type(error).__name__
            outcome = self._outcomes.failed(attempt, name, f"{name}: {error}", error)
        else:
            attempt.runnable = runnable
            variables = contextvars.Context()
            outcome = variables.run(self._outcome, running, attempt)
        if os.getpid() != self._process_id:
            _end_forked()
        return _ended(running.number, outcome)

    def _tell_beat(self, number: int, details: object) -> None:
        """Tell the worker; on whatever thread the task has."""
        try:
            text = json.dumps(details, default=str)
        except Exception:  # noqa: BLE001 (it runs the code of users)
            text = "null"  # that there was a heartbeat counts, whatever it says
        self._send(Beat(number=number, details=text))

    def _runnable_of(self, message: AttemptMessage) -> Runnable:
        """The function of an attempt with all that is known of it.

        Raises:
            ImportError: if it is not here; or whatever its module raised.
        """
        registry = self._registry_of(message.code)
        runnable = registry.runnable(message.graph_digest, message.code_path)
        if runnable is None:
            raise ImportError(
                f"expected the function of {message.path!r} here as in the worker, but "
                "it cannot be imported"
            )
        takers = runnable.takers if message.has_takers else ()
        return replace(runnable, ends_loop=message.ends_loop, takers=takers)

    def _outcome(self, running: Running, attempt: Attempt) -> Outcome:
        context = running.context = context_of(attempt)
        context.on_heartbeat = partial(self._tell_beat, running.number)
        context.cancelled = running.is_cancelled
        _bind(context, running.message.traceparent)
        stage: Literal["decoding", "running", "encoding"] = "decoding"
        try:
            value = given_value(attempt, self._payloads)
            called = with_named(attempt, context, self._payloads)
            stage = "running"
            result = called(value)
            if inspect.isawaitable(result):
                result = self._wait(running, result)
            stage = "encoding"
            return self._outcomes.completed(attempt, result)
        except BaseException as error:  # noqa: BLE001 (becomes the attempt's outcome)
            if running.is_interrupted and isinstance(error, asyncio.CancelledError):
                return self._outcomes.withdrawn(attempt)
            return self._outcomes.raised(attempt, stage, error)

    def _wait(self, running: Running, awaitable: Awaitable[object]) -> object:
        async def wait() -> object:
            running.loop = asyncio.get_running_loop()
            running.task = asyncio.current_task()
            if running.is_interrupted:
                raise asyncio.CancelledError
            try:
                return await awaitable
            finally:
                running.task = None

        return self._runner.run(wait(), context=contextvars.copy_context())


def _bind(context: TaskExecutionContext, traceparent: str | None) -> None:
    """What the task may know, what its log lines carry, and the parent of its spans."""
    CONTEXT.set(context)
    bind_contextvars(
        workflow=context.workflow_id,
        task_id=context.task_id,
        attempt=context.attempt,
        instance_id=context.instance_id,
    )
    if traceparent is not None:
        try:
            from opentelemetry.context import attach  # noqa: PLC0415 (optional)
        except ImportError:
            return
        attach(parent_context(traceparent))


def _ended(number: int, outcome: Outcome) -> Ended:
    details = outcome.details
    return Ended(
        number=number,
        result=outcome.result,
        output=outcome.output,
        loop=outcome.loop,
        error_type=outcome.error_type,
        error=outcome.error,
        retriable=outcome.retriable,
        error_class=details.error_class,
        source_line=details.source_line,
        causes=details.causes,
        traceback=details.traceback,
        error_bases=outcome.error_bases,
        threads=threading.active_count(),
    )


def _end_forked() -> None:
    logger.error(
        "task.child_ended",
        reason="expected a process that a task forked to end itself (os._exit), but "
        "it returned from the task: it was ended there",
    )
    os._exit(1)

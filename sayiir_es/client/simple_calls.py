"""How the simple engine calls users' functions in threads and on event loops."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias, cast

from sayiir_es.client.loop_thread import Interruption, LoopThread
from sayiir_es.engine.attempts.task_threads import TaskThreads
from sayiir_es.engine.attempts.tracing import attempt_span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Generator
    from contextvars import Context

    from sayiir_es.client.simple_run import AttemptCall


class LoopCalls:
    """Makes the calls of one run, on the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads: TaskThreads | None = None

    async def result_of(self, call: AttemptCall) -> object:
        """The result of a call, which may take as long as its time-out."""
        if call.seconds is None:
            return await self._result_of(call)
        limit = asyncio.timeout(call.seconds)
        try:
            async with limit:
                return await self._result_of(call)
        finally:
            call.is_timed_out = limit.expired()

    async def _result_of(self, call: AttemptCall) -> object:
        if call.started is not None:
            return await InContext(_await_started(call.started), call.variables)
        if call.step.is_async:
            return await InContext(_call_and_await(call), call.variables)
        result = await self._result_of_thread(call)
        if inspect.isawaitable(result):
            return await InContext(_await_started(result), call.variables)
        return result

    async def _result_of_thread(self, call: AttemptCall) -> object:
        def function() -> object:
            try:
                return _call(call)
            except (KeyboardInterrupt, SystemExit) as error:
                raise Interruption(error) from error

        if self._threads is None:
            self._threads = TaskThreads(self._loop)
        return await self._threads.result_of(function, call.variables)

    def close(self) -> None:
        """End the threads that are free; may be called in any thread."""
        if self._threads is not None:
            self._threads.close()


class BlockingCalls:
    """Makes the calls of one run for a caller without an event loop.

    What is to be awaited runs on a loop in a thread of its own.
    """

    def __init__(self) -> None:
        self._thread: ThreadCalls | None = None
        self._loop_thread: LoopThread | None = None
        self._loop_calls: LoopCalls | None = None

    def result_of(self, call: AttemptCall) -> object:
        """The result of a call, which may take as long as its time-out."""
        if call.started is None and not call.step.is_async:
            if self._thread is None:
                self._thread = ThreadCalls()
            begun = time.monotonic()
            result = self._thread.result_of(call)
            if not inspect.isawaitable(result):
                return result
            call.started = result
            if call.seconds is not None:
                call.seconds -= time.monotonic() - begun
        if self._loop_thread is None:
            self._loop_thread = LoopThread("sayiir-simple")
        return self._loop_thread.call(self._result_on_loop(call))

    async def _result_on_loop(self, call: AttemptCall) -> object:
        if self._loop_calls is None:
            self._loop_calls = LoopCalls()
        try:
            return await self._loop_calls.result_of(call)
        except asyncio.CancelledError as error:
            # A task cancelled itself: that ends the run, and is no failed attempt.
            raise Interruption(error) from error

    def close(self) -> None:
        """End the loop and the free thread."""
        if self._thread is not None:
            self._thread.close()
        if self._loop_thread is not None:
            self._loop_thread.close()


Ended: TypeAlias = "tuple[object, BaseException | None]"
"""The result of a function, or its error."""


class ThreadCalls:
    """Calls functions in a thread that is left behind when a time-out has passed.

    Python cannot stop it: it still runs the user's code. It is a daemon, and ends with
    that code; the next call gets another one.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[AttemptCall, SimpleQueue[Ended]] | None] = (
            SimpleQueue()
        )
        self._is_running = False

    def result_of(self, call: AttemptCall) -> object:
        """The result of a call.

        Raises:
            TimeoutError: if its time-out has passed; the call says so, too.
        """
        if not self._is_running:
            threading.Thread(
                target=_serve, args=(self._waiting,), name="sayiir-task", daemon=True
            ).start()
            self._is_running = True
        answer: SimpleQueue[Ended] = SimpleQueue()
        self._waiting.put((call, answer))
        try:
            result, error = answer.get(timeout=call.seconds)
        except Empty:
            call.is_timed_out = True
            self.close()
            raise TimeoutError from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """End the thread as soon as it is free."""
        if self._is_running:
            self._waiting.put(None)
            self._waiting, self._is_running = SimpleQueue(), False


def _serve(waiting: SimpleQueue[tuple[AttemptCall, SimpleQueue[Ended]] | None]) -> None:
    while (item := waiting.get()) is not None:
        call, answer = item
        try:
            answer.put((call.variables.run(_call, call), None))
        except BaseException as error:  # noqa: BLE001 (the caller's, raised there)
            answer.put((None, error))
        del item, call, answer  # a free thread keeps no user's values alive


class InContext:
    """Awaits a coroutine that sees the context variables of a context of its own.

    An `asyncio.Task` does the same, for the price of a turn of the loop at its begin
    and another one at its end.
    """

    def __init__(
        self, work: Coroutine[object, object, object], variables: Context
    ) -> None:
        self._work = work
        self._variables = variables

    def __await__(self) -> Generator[object, object, object]:
        """Take each step of the coroutine in the context."""
        run, work = self._variables.run, self._work
        result: object = None
        failure: BaseException | None = None
        while True:
            try:
                if failure is None:
                    awaited = run(work.send, result)
                else:
                    awaited = run(work.throw, failure)
            except StopIteration as end:
                return end.value
            result, failure = None, None
            try:
                result = yield awaited
            except BaseException as error:  # noqa: BLE001 (the coroutine's to handle)
                failure = error


def _call(call: AttemptCall) -> object:
    with attempt_span(call.context):
        return call.step.function(call.value)


async def _call_and_await(call: AttemptCall) -> object:
    try:
        with attempt_span(call.context):
            return await cast("Awaitable[object]", call.step.function(call.value))
    except (KeyboardInterrupt, SystemExit) as error:
        raise Interruption(error) from error


async def _await_started(value: Awaitable[object]) -> object:
    """Await what a function returned."""
    try:
        return await value
    except (KeyboardInterrupt, SystemExit) as error:
        raise Interruption(error) from error

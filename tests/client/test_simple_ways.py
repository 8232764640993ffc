"""The simple engine's ways through a workflow: they differ in nothing but the thread.

Each test runs with and without an event loop of the caller. Functions are sync, async,
or sync ones that return what is to be awaited.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    LoopResult,
    RetryPolicy,
    TaskError,
    Workflow,
    aio,
    get_task_context,
    run_workflow,
    task,
)
from tests.client.simple_ways import (
    Kind,
    Run,
    every_kind,
    every_way,
    in_a_running_loop,
    of_kind,
    on_the_callers_loop,
    without_a_loop,
)

if TYPE_CHECKING:
    from sayiir_es.core.authoring.steps import Function

QUICK = RetryPolicy(max_retries=2, initial_delay_secs=0.001)


def flow_of(
    kind: Kind, function: Function, retries: RetryPolicy | None = None
) -> Workflow:
    return Flow().then(task("it", retries=retries)(of_kind(kind, function))).build()


# --- threads and loops ----------------------------------------------------------------


@without_a_loop
def test_plain_functions_run_in_the_callers_thread_and_start_no_other(run: Run) -> None:
    before = set(threading.enumerate())
    seen: list[tuple[threading.Thread, bool]] = []

    def note(value: object) -> object:
        started = set(threading.enumerate()) - before
        seen.append((threading.current_thread(), bool(started)))
        return value

    fork = Flow().then(note).delay("nap", 0.001).then(note).fork()
    flow = fork.branch(note, name="a").branch(note, name="b").join(note)
    run(flow.build(), 1)
    assert seen == [(threading.current_thread(), False)] * 5


@without_a_loop
def test_a_plain_function_may_run_an_event_loop_of_its_own(run: Run) -> None:
    flow = Flow().then(lambda value: asyncio.run(asyncio.sleep(0, value)))
    assert run(flow.build(), 7) == 7


def test_it_may_where_the_caller_runs_one_too() -> None:
    flow = Flow().then(lambda value: asyncio.run(asyncio.sleep(0, value))).build()
    assert in_a_running_loop(flow, 7) == 7
    assert on_the_callers_loop(flow, 7) == 7


@without_a_loop
def test_coroutine_functions_alone_share_a_loop_in_the_callers_thread(run: Run) -> None:
    seen: set[tuple[threading.Thread, asyncio.AbstractEventLoop]] = set()

    async def note(value: object) -> object:
        await asyncio.sleep(0)
        seen.add((threading.current_thread(), asyncio.get_running_loop()))
        return value

    run(Flow().then(note).delay("nap", 0.001).then(note).build(), 1)
    ((thread, loop),) = seen
    assert thread is threading.current_thread()
    assert loop.is_closed()


@without_a_loop
def test_what_a_task_leaves_running_on_the_loop_goes_on_during_plain_ones(
    run: Run,
) -> None:
    asked = asyncio.Event()
    answered, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        try:
            await asked.wait()
            answered.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    servers: list[asyncio.Task[None]] = []

    async def start(value: object) -> object:
        servers.append(asyncio.create_task(serve()))
        return value

    def ask(value: object) -> object:
        servers[0].get_loop().call_soon_threadsafe(asked.set)
        return [value, answered.wait(10)]

    assert run(Flow().then(start).then(ask).build(), 1) == [1, True]
    assert ended.is_set(), "what still ran was cancelled with the workflow"


async def test_a_plain_function_does_not_hold_up_the_loop_of_the_caller() -> None:
    go = threading.Event()
    flow = Flow().then(lambda value: [value, go.wait(10)]).build()
    running = asyncio.create_task(aio.run_workflow(flow, 1))
    await asyncio.sleep(0)
    go.set()
    assert await running == [1, True]


async def test_tasks_that_never_wait_let_others_have_their_turn() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    async def again(value: int) -> LoopResult[int]:
        return LoopResult.again(value + 1)

    competing = asyncio.create_task(other())
    flow = Flow().loop(again, max_iterations=1_000, on_max="exit_with_last").build()
    assert await aio.run_workflow(flow, 0) == 1_000
    competing.cancel()
    assert others >= 5


async def test_a_run_that_is_cancelled_cancels_its_task() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = asyncio.create_task(aio.run_workflow(Flow().then(stuck).build(), 1))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cancelled.is_set()


# --- what a task knows, sees and gets -------------------------------------------------

CALLERS: contextvars.ContextVar[str] = contextvars.ContextVar("callers", default="none")


@every_way
@every_kind
def test_a_task_has_its_own_context_and_not_the_callers(run: Run, kind: Kind) -> None:
    def read(value: object) -> object:
        context = get_task_context()
        assert context is not None
        seen = [value, context.task_id, context.attempt, CALLERS.get()]
        CALLERS.set("a task")
        if context.attempt == 1:
            raise ValueError("once more")
        return seen

    token = CALLERS.set("the caller")
    try:
        assert run(flow_of(kind, read, QUICK), 5) == [5, "it", 2, "none"]
        assert CALLERS.get() == "the caller"
        assert get_task_context() is None
    finally:
        CALLERS.reset(token)


@every_way
@every_kind
def test_each_attempt_gets_the_input_as_it_was(run: Run, kind: Kind) -> None:
    given: list[object] = []

    def spoil(value: dict[str, int]) -> int:
        given.append(dict(value))
        value.clear()
        if len(given) < 3:
            raise ValueError("not yet")
        return len(given)

    mine = {"a": 1}
    assert run(flow_of(kind, spoil, QUICK), mine) == 3
    assert given == [{"a": 1}] * 3
    assert mine == {"a": 1}


@every_way
def test_branches_do_not_share_their_input(run: Run) -> None:
    def spoil(value: list[int]) -> int:
        value.append(len(value))
        return len(value)

    flow = Flow().then(lambda _: [7], name="make").fork()
    flow = flow.branch(spoil, name="a").branch(spoil, name="b")
    assert run(flow.join(lambda counts: counts).build(), None) == {"a": 2, "b": 2}


# --- errors ---------------------------------------------------------------------------


@every_way
@every_kind
def test_a_failure_tells_what_and_where_once_all_retries_are_used(
    run: Run, kind: Kind
) -> None:
    calls: list[object] = []

    def fail_here(value: object) -> object:
        calls.append(value)
        raise ValueError("bang")

    with pytest.raises(TaskError, match=r"\AValueError: bang\n\nTraceback") as caught:
        run(flow_of(kind, fail_here, QUICK), 1)
    assert "in fail_here" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)
    assert calls == [1, 1, 1]


@every_way
@every_kind
def test_a_result_that_json_cannot_hold_fails_without_retries(
    run: Run, kind: Kind
) -> None:
    calls: list[object] = []

    def opaque(value: object) -> object:
        calls.append(value)
        return {"a": [object()]}

    with pytest.raises(TaskError, match=r"TypeError: .* a object .* at \$\.a\[0\]"):
        run(flow_of(kind, opaque, QUICK), 1)
    assert calls == [1]


@every_way
@every_kind
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_passes_through(
    run: Run, kind: Kind, error: type[BaseException]
) -> None:
    def stop(_: object) -> object:
        raise error("now")

    with pytest.raises(error, match="now"):
        run(flow_of(kind, stop, QUICK), 1)


@without_a_loop
@every_kind
@pytest.mark.parametrize("timeout", [None, "10s"])
def test_a_task_that_cancels_itself_ends_the_run(
    run: Run, kind: Kind, timeout: str | None
) -> None:
    def cancel(_: object) -> object:
        raise asyncio.CancelledError

    cancelling = task("c", timeout=timeout, retries=QUICK)(of_kind(kind, cancel))
    flow = Flow().then(cancelling)
    for workflow in (flow.build(), flow.then(lambda value: value).build()):
        with pytest.raises(concurrent.futures.CancelledError):
            run(workflow, 1)


@every_way
@every_kind
def test_a_time_out_is_retried_and_told(run: Run, kind: Kind) -> None:
    hold = threading.Event()
    calls: list[str] = []

    def stuck(_: object) -> object:
        calls.append("sync")
        return hold.wait(10)

    async def asleep(_: object) -> None:
        calls.append("async")
        await asyncio.sleep(10)

    def falls_asleep(_: object) -> object:
        return asleep(_)

    functions: dict[Kind, Function] = {
        "sync": stuck,
        "async": asleep,
        "awaitable": falls_asleep,
    }
    slow = task("slow", timeout=0.02, retries=QUICK)(functions[kind])
    begun = time.monotonic()
    with pytest.raises(TaskError, match=r"\ATask 'slow' timed out after 20ms\Z"):
        run(Flow().then(slow).build(), 1)
    hold.set()
    assert len(calls) == 3
    assert time.monotonic() - begun < 9


@every_way
@every_kind
def test_a_time_out_that_does_not_pass_changes_nothing(run: Run, kind: Kind) -> None:
    def own_error(_: object) -> object:
        raise TimeoutError("mine")

    def same(value: object) -> object:
        return value

    def timed(function: Function) -> Workflow:
        return Flow().then(task("t", timeout=10)(of_kind(kind, function))).build()

    assert run(timed(same), 1) == 1
    with pytest.raises(TaskError, match="TimeoutError: mine"):
        run(timed(own_error), 1)


def test_a_thread_that_was_left_behind_ends_with_its_task() -> None:
    hold, threads = threading.Event(), list[threading.Thread]()

    @task(timeout=0.02)
    def stuck(_: object) -> None:
        threads.append(threading.current_thread())
        hold.wait(10)

    with pytest.raises(TaskError):
        run_workflow(Flow().then(stuck).build(), 1)
    assert threads[0].is_alive()
    hold.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


@without_a_loop
@pytest.mark.parametrize("way", ["plain", "timed", "async", "async after plain"])
def test_an_interrupt_from_the_keyboard_ends_a_run_that_waits(
    run: Run, way: str
) -> None:
    cleaned: list[str] = []

    def interrupt() -> None:
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)

    def stuck(_: object) -> None:
        threading.Timer(0.05, interrupt).start()
        threading.Event().wait(2)

    async def asleep(_: object) -> None:
        threading.Timer(0.05, interrupt).start()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(way)

    flows = {
        "plain": Flow().then(stuck),
        "timed": Flow().then(task("t", timeout=60)(stuck)),
        "async": Flow().then(asleep),
        "async after plain": Flow().then(lambda value: value).then(asleep),
    }
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(flows[way].build(), 1)
    assert time.monotonic() - begun < 30
    assert cleaned == ([way] if way.startswith("async") else [])

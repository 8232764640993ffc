"""A run without an engine ends as one with an engine does, in all that it tells."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import asdict, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    LoopResult,
    RetryPolicy,
    WorkflowError,
    aio,
    get_task_context,
    run_durable_workflow,
    run_workflow,
    task,
)
from sayiir_es.client.direct_engine import run_directly
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    ChildNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from tests.captured_logs import capture_logs
from tests.client.simple_ways import KINDS, Kind, of_kind
from tests.client.test_simple_programs import function_of, without_waits
from tests.random_programs import random_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es import WorkflowStatus

    Run = Callable[[Workflow, object], WorkflowStatus]

TIMES = ("started_at", "updated_at", "wake_at")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
QUICK = RetryPolicy(max_retries=2, initial_delay_secs=0.001)


def here(workflow: Workflow, value: object) -> WorkflowStatus:
    return run_durable_workflow(workflow, "i", value)


def on_a_loop(workflow: Workflow, value: object) -> WorkflowStatus:
    return asyncio.run(aio.run_durable_workflow(workflow, "i", value))


every_way = pytest.mark.parametrize("run", [here, on_a_loop])


def with_engine(workflow: Workflow, value: object) -> WorkflowStatus:
    with InMemoryBackend() as backend:
        return run_durable_workflow(workflow, "i", value, backend)


def is_direct(workflow: Workflow) -> bool:
    return run_directly(workflow, "probe", None, "fail") is not None


def fields(status: WorkflowStatus) -> dict[str, Any]:
    """All that a status says, but when it was."""
    said = asdict(status)
    for name in TIMES:
        said[name] = said[name] is not None
    said["waiting_for"] = INSTANT.sub("TIME", status.waiting_for)
    return said


# --- random programs ------------------------------------------------------------------


def serial(chain: tuple[Node, ...]) -> tuple[Node, ...]:
    """The chain, doing one thing at a time."""
    return tuple(map(_serial, chain))


def _serial(node: Node) -> Node:
    match node:
        case ForkNode():
            inner = serial(node.branches[0].chain)
            return ChildNode(id=node.id, workflow="inner", chain=inner)
        case StartChildNode():
            return TaskNode(id=node.id)
        case TaskNode():
            return replace(node, timeout_ms=None, heartbeat_timeout_ms=None)
        case RouteNode():
            default = None if node.default is None else serial(node.default)
            branches = tuple(
                replace(one, chain=serial(one.chain)) for one in node.branches
            )
            return replace(node, branches=branches, default=default)
        case LoopNode():
            return replace(node, body=serial(node.body))
        case ChildNode():
            return replace(node, chain=serial(node.chain))
        case TryNode():
            return replace(node, body=serial(node.body), handler=serial(node.handler))
        case _:
            return node


def program(seed: int, kinds: tuple[Kind, ...], *, waits: bool) -> Workflow:
    """A random workflow with functions that have not been called."""
    chance = Random(seed)  # noqa: S311 (no secret)
    chain = serial(random_graph(chance, "program", most=30).chain)
    graph = Graph(name="program", chain=chain if waits else without_waits(chain))
    functions = {
        path: of_kind(chance.choice(kinds), function_of(place))
        for path, place in graph.places.items()
        if isinstance(place.node, TaskNode | RouteNode)
    }
    return Workflow(graph=graph, functions=functions)


@every_way
@pytest.mark.parametrize("waits", [True, False], ids=["parks", "ends"])
@pytest.mark.parametrize("kinds", [("sync",), ("async",), KINDS], ids="+".join)
@pytest.mark.parametrize("seed", range(15))
def test_a_random_program_ends_as_with_an_engine(
    run: Run, kinds: tuple[Kind, ...], seed: int, *, waits: bool
) -> None:
    said = fields(run(program(seed, kinds, waits=waits), seed))
    assert said == fields(with_engine(program(seed, kinds, waits=waits), seed))


# --- one by one -----------------------------------------------------------------------


def echo(value: Any) -> Any:
    return value


@task(timeout="1m")
def timed(value: Any) -> Any:
    return value


@task(heartbeat_timeout="1m")
def beating(value: Any) -> Any:
    return value


@task(execute="remote")
def far(value: Any) -> Any:
    return value


@task(executor="process")
def apart(value: Any) -> Any:
    return value


@task(concurrency_key="all", max_concurrency=1)
def alone(value: Any) -> Any:
    return value


def test_what_does_several_things_or_may_be_ended_takes_an_engine() -> None:
    one = Flow("one").then(echo)
    inner = one.build()
    fork = Flow("w").fork().branch(one, name="a").branch(one, name="b").join(len)
    for flow in (
        fork,
        Flow("w").start_child(inner),
        Flow("w", timeout="1m").then(echo),
        Flow("w", max_running=1).then(echo),
        *(Flow("w").then(each) for each in (timed, beating, far, apart, alone)),
        Flow("w").attempt(Flow("in").then(timed)).on_error(echo),
    ):
        assert not is_direct(flow.build())
    assert is_direct(inner)


@every_way
def test_a_task_knows_what_it_would_know_in_an_engine(run: Run) -> None:
    def tell(value: Any) -> Any:
        known = get_task_context()
        assert known is not None
        known.heartbeat({"at": 1})
        return [
            value,
            known.workflow_id,
            known.instance_id,
            known.task_id,
            known.attempt,
            known.run,
            known.idempotency_key,
            known.deadline_at,
            known.cancelled,
        ]

    told = run(Flow("w").then(tell).build(), 7)
    assert told.output == with_engine(Flow("w").then(tell).build(), 7).output
    assert get_task_context() is None


@every_way
@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_tried_again_and_its_failures_are_logged(
    run: Run, kind: Kind
) -> None:
    def flaky() -> Workflow:
        calls: list[object] = []

        def fail(value: object) -> object:
            calls.append(value)
            if len(calls) < 3:
                raise ValueError(f"no {len(calls)}")
            return value

        return Flow("w").then(task("t", retries=QUICK)(of_kind(kind, fail))).build()

    with capture_logs() as lines:
        status = run(flaky(), 1)
    failed = [line for line in lines if line["event"] == "task.attempt_failed"]
    assert [line["attempt"] for line in failed] == [1, 2]
    assert fields(status) == fields(with_engine(flaky(), 1))


@every_way
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_call_and_no_loop(
    run: Run, kind: Kind, error: type[BaseException]
) -> None:
    def interrupt(_: object) -> None:
        raise error

    workflow = Flow("w").then(task("t", retries=9)(of_kind(kind, interrupt))).build()
    with pytest.raises(error):
        run(workflow, 1)


@every_way
def test_what_cannot_be_a_start_is_refused_as_by_an_engine(run: Run) -> None:
    workflow = Flow("w").then(echo).build()
    for value in (object(), "x" * (5 << 20)):
        with pytest.raises(Exception) as refused:  # noqa: PT011 (compared below)
            with_engine(workflow, value)
        with pytest.raises(type(refused.value), match=re.escape(str(refused.value))):
            run(workflow, value)
    for wrong in ("", "x" * 2_000):
        with pytest.raises(WorkflowError):
            run_durable_workflow(workflow, wrong, 1)


def test_a_task_may_run_another_workflow_in_its_own_call() -> None:
    inner = Flow("inner").then(echo).build()

    def outer(value: Any) -> Any:
        return run_durable_workflow(inner, "i", value).output

    workflow = Flow("outer").then(outer).build()
    assert run_durable_workflow(workflow, "i", 3).output == 3
    assert run_workflow(workflow, 3, instance_id="i") == 3


def test_a_synchronous_call_inside_a_loop_still_ends() -> None:
    async def call() -> object:
        return here(Flow("w").then(echo).build(), 3).output

    assert asyncio.run(call()) == 3


async def test_a_plain_function_holds_up_no_event_loop() -> None:
    may_end = threading.Event()

    def wait(value: Any) -> Any:
        assert may_end.wait(10)
        return value

    call = aio.run_durable_workflow(Flow("w").then(wait).then(wait).build(), "i", 1)
    running = asyncio.create_task(call)
    await asyncio.sleep(0.01)
    may_end.set()
    assert (await running).output == 1


async def test_a_cancelled_call_cancels_its_task() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(value: Any) -> Any:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return value

    call = aio.run_durable_workflow(Flow("w").then(wait).build(), "i", 1)
    running = asyncio.create_task(call)
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cancelled.is_set()


@every_way
def test_one_that_cancels_itself_has_failed(run: Run) -> None:
    async def cancel(value: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return value

    workflow = Flow("w").then(cancel).build()
    assert fields(run(workflow, 1)) == fields(with_engine(workflow, 1))


def test_two_calls_with_one_id_know_nothing_of_each_other() -> None:
    workflow = Flow("w").wait_for_signal("go").build()
    for _ in range(2):
        assert here(workflow, 1).is_awaiting_signal()


@every_way
def test_a_loop_that_goes_on_for_long_ends(run: Run) -> None:
    def turn(value: int) -> LoopResult[int]:
        return LoopResult.done(value) if value >= 99 else LoopResult.again(value + 1)

    flow = Flow("w").loop(task("turn")(turn), max_iterations=200)
    assert run(flow.build(), 0).output == 99

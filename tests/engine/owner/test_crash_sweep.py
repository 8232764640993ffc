"""The whole engine, crashed after every event and taken over: the same output."""

from __future__ import annotations

import pytest

from sayiir_es.core.authoring.flow import Flow, Workflow
from sayiir_es.core.authoring.loop_result import LoopResult
from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import task
from tests.engine.harness import EngineHarness, event_of

FAILED: dict[str, int] = {}


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=0.01))
async def flaky(value: str) -> str:
    FAILED[value] = FAILED.get(value, 0) + 1
    if FAILED[value] % 2:
        raise ValueError("not yet")
    return f"{value}+flaky"


@task(timeout="5s")
def timed(value: object) -> str:
    return f"{value}+timed"


async def last(value: object) -> str:
    return f"{value}+last"


RETRIES = Flow("retries").then(flaky).then(timed).build()
DELAY = Flow("delay").then(last).delay("nap", 0.03).then(timed).build()
SIGNAL = (
    Flow("signal").then(timed).wait_for_signal("ok").then(last, name="after").build()
)
LATE = Flow("late").wait_for_signal("never", timeout=0.03).then(last).build()


def key(value: object) -> str:
    return "long" if "timed" in str(value) else "short"


def count(value: object) -> LoopResult[object]:
    number = value if isinstance(value, int) else 0
    return LoopResult.done("end") if number == 2 else LoopResult.again(number + 1)


def both(results: dict[str, object]) -> str:
    return "|".join(f"{name}={value}" for name, value in results.items())


FORK = (
    Flow("fork")
    .fork()
    .branch(Flow().delay("nap", 0.02).then(last), name="slow")
    .branch(Flow().wait_for_signal("ok").then(timed), name="told")
    .branch(last, timed, name="twice")
    .join(both)
    .build()
)
ROUTE = (
    Flow("route")
    .then(timed)
    .route(key, keys=["long", "short"])
    .branch("long", last)
    .branch("short", timed)
    .done()
    .then(last, name="after")
    .build()
)
LOOP = Flow("loop").loop(count).then(last).build()
CHILD = Flow("child").then_flow(DELAY).then_flow(DELAY).then(last, name="after").build()


def fails(value: object) -> None:
    raise LookupError(f"not {value}")


def told(caught: dict[str, dict[str, str]]) -> str:
    return f"{caught['error']['message']} of {caught['input']}"


BESIDE = (
    Flow("beside")
    .fork()
    .branch(Flow().wait_for_signal("never").then(last), name="waits")
    .branch(Flow().delay("nap", 0.02).then(fails), name="fails")
    .join(both)
)
TRIES = (
    Flow("tries", timeout="2d")
    .wait_for_signal("ok", keep_input=True)
    .attempt(Flow("inner").attempt(BESIDE).on_error(fails, errors="timeout"))
    .on_error(Flow("handler").then(told).delay("rest", 0.02), errors=LookupError)
    .then(last)
    .build()
)

FLOWS = (RETRIES, DELAY, SIGNAL, LATE, FORK, ROUTE, LOOP, CHILD, TRIES)


@pytest.mark.parametrize("flow", FLOWS, ids=[flow.workflow_id for flow in FLOWS])
async def test_a_crash_after_any_event_gives_the_same_output(flow: Workflow) -> None:
    harness = EngineHarness()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow=flow.graph.name, input="x")
        await harness.command("SendSignal", signal="ok", payload="go")
        output = await harness.output()
    records = await harness.records()
    ends = [
        number
        for number in range(len(records) + 1)
        if number == len(records)
        or number == 0
        or event_of(records[number]).cause != event_of(records[number - 1]).cause
    ]
    assert len(ends) > 4
    for end in ends:
        copy = await harness.copy_of_first(end)
        async with copy.worker(flow):
            assert await copy.output() == output, f"crash behind {end} records"
            completed = [k for k in await copy.kinds() if k == "WorkflowCompleted"]
            assert len(completed) == 1

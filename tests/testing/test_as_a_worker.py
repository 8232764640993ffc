"""What a scenario says is what a worker does for which time just passes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient
from sayiir_es.core.status.status import status_of
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.testing import Scenario, given
from sayiir_es.testing.result import Result
from sayiir_es.testing.runs import run_on_virtual_loop
from sayiir_es.testing.steps import CommandStep, CrashStep, TimeStep
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from tests.engine.harness import EngineHarness
from tests.testing.scaled_programs import random_scenario


async def _played(scenario: Scenario) -> Result:
    """The steps against a worker on a memory log; time passes by sleeping only."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    harness = EngineHarness(clock=VirtualClock(loop))
    workflow = scenario.workflow
    engine = await harness.start_worker(workflow)
    for step in scenario.steps:
        match step:
            case CommandStep():
                fields = dict(step.command)
                name = str(fields.pop("command"))
                await harness.command(name, "i", **fields)
            case TimeStep():
                await asyncio.sleep(step.ms / 1000)
            case CrashStep():
                await engine.stop(drain=False)
                engine = await harness.start_worker(workflow)
            case _:
                raise AssertionError(step)
        await _settled(harness)
    store = await harness.folded()
    state = status_of(store.rows("i"), "i", workflow.graph)
    assert state is not None
    events = tuple(await harness.events())
    await engine.stop(drain=False)
    return Result(state=state, events=events)


async def _settled(harness: EngineHarness) -> None:
    """Wait until nothing happens for two seconds, and no attempt runs or is due."""
    seen = -1
    while True:
        await asyncio.sleep(2)
        store, records = MemoryStore(), await harness.records()
        fold = Fold(store, 0, 1)
        await harness.fold_all(fold)
        state = status_of(store.rows("i"), "i", None)
        is_quiet = state is None or state.status != "in_progress"
        if len(records) == seen and is_quiet:
            return
        seen = len(records)


@settings(max_examples=60, deadline=None)
@drawn(seed=st.integers(0, 1 << 40))
def test_a_scenario_ends_as_a_worker_does(seed: int) -> None:
    scenario = random_scenario(seed)
    worker = run_on_virtual_loop(_played(scenario))
    assert scenario.result.outcome == worker.outcome
    assert Counter(scenario.result.kinds) == Counter(worker.kinds)


def test_what_a_pause_held_is_served_before_the_answer() -> None:
    flow = Flow("nap").delay("nap", "30m").then(lambda value: value, name="wake")
    slept = given(flow.build(), 7).pause().after("1h").unpause()
    assert slept.result.output == 7
    slept.survives_crashes()
    timed = Flow("ask").wait_for_signal("ok", timeout="30m").build()
    late = given(timed).pause().after("1h").unpause()
    assert late.result.status == "completed"
    early = given(timed).pause().after("1h").signal("ok", "yes").unpause()
    assert early.result.kinds.count("SignalReceived") == 1


def ship(answer: object, *, charge: int) -> list[object]:
    return [charge, answer]


@pytest.mark.parametrize("payload", ["yes", None])
def test_a_scenario_ends_as_a_worker_of_this_process_does(payload: object) -> None:
    flow = (
        Flow("order")
        .then(lambda order: order["id"], name="charge")
        .wait_for_signal("ok")
        .then(ship)
        .build()
    )
    scenario = given(flow, {"id": 7}).signal("ok", payload)
    backend = InMemoryBackend()
    with Worker("w1", backend).start([flow]):
        client = WorkflowClient(backend)
        client.submit(flow, "order-7", {"id": 7})
        client.send_signal("order-7", "ok", payload)
        status = client.wait("order-7", timeout="30s")
    assert status.status == scenario.result.status == "completed"
    assert status.output == json.loads(json.dumps(scenario.result.output))

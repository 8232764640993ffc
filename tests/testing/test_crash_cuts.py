"""The kit's crashes: at every border at which a log can end, and at no other."""

from __future__ import annotations

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from sayiir_es import Flow, LoopResult, RetryPolicy, Workflow, task
from sayiir_es.audit import verify_records
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.log.port import Record, Topic
from sayiir_es.testing import Scenario, given
from sayiir_es.testing.runs import (
    CUT_EVERYWHERE,
    ScenarioRun,
    recover,
    run_on_virtual_loop,
    run_steps,
)
from sayiir_es.wire.events import decode_event
from tests.testing.scaled_programs import random_scenario


def fails(_: object) -> object:
    raise ValueError("no")


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=1))
def fails_twice(_: object) -> object:
    raise ValueError("no")


def again(value: int) -> LoopResult[int]:
    return LoopResult.again(value + 1)


def both(value: dict[str, object]) -> list[str]:
    return sorted(value)


TIMED_OUT = Flow("t").wait_for_signal("ok", timeout="1h", on_timeout="fail").build()
FAILED = Flow("f").then(fails_twice).build()
EXCEEDED = Flow("l").loop(again, max_iterations=2).build()
SIDE_BY_SIDE = (
    Flow("s")
    .fork()
    .branch(fails, name="x")
    .branch(Flow().delay("nap", "1h"), name="y")
    .join(both)
    .build()
)


def full_run(scenario: Scenario) -> ScenarioRun:
    return run_on_virtual_loop(
        run_steps(
            scenario.workflow, scenario.steps, limits=CUT_EVERYWHERE, to_idle=True
        )
    )


def kinds_behind_cuts(scenario: Scenario) -> list[tuple[str, str]]:
    """The kinds around each cut: of the last event kept, of the first one lost."""
    run = full_run(scenario)
    kinds = [decode_event(record.value or b"").kind for record in run.records]
    return [(kinds[cut - 1], kinds[cut]) for cut in run.cuts if cut < len(kinds)]


@pytest.mark.parametrize(
    ("workflow", "cause"),
    [
        (TIMED_OUT, "SignalTimedOut"),
        (FAILED, "TaskFailed"),
        (EXCEEDED, "LoopIterated"),
        (SIDE_BY_SIDE, "TaskFailed"),
    ],
)
def test_what_fails_a_run_is_never_cut_from_its_end(
    workflow: Workflow, cause: str
) -> None:
    scenario = given(workflow, 1).to_the_end()
    assert scenario.result.kinds[-2:] == [cause, "WorkflowFailed"]
    cuts = kinds_behind_cuts(scenario)
    assert (cause, "WorkflowFailed") not in cuts
    assert ("WorkflowStarted", scenario.result.kinds[1]) not in cuts
    assert scenario.survives_crashes() == len(cuts) + 1


def test_a_decision_is_cut_where_the_engine_may_cut_it() -> None:
    flow = Flow("two").then(lambda value: value).delay("nap", "1h").build()
    cuts = kinds_behind_cuts(given(flow, 1).to_the_end())
    assert cuts == [
        ("PositionUpdated", "TaskCompleted"),
        ("TaskCompleted", "DelayStarted"),
        ("DelayStarted", "DelayElapsed"),
        ("DelayElapsed", "WorkflowCompleted"),
    ]


@settings(max_examples=8, deadline=None)
@drawn(seed=st.integers(0, 1 << 40))
def test_random_programs_survive_each_crash_with_a_clean_log(seed: int) -> None:
    scenario = random_scenario(seed, steps=3)
    run = full_run(scenario)
    definition = record_of_graph(scenario.workflow.graph)
    for count in run.cuts:
        again = run_on_virtual_loop(
            recover(scenario.workflow, scenario.steps, run, count)
        )
        assert again.end.outcome == scenario.result.outcome, f"behind {count}"
        assert violations(definition, again.records) == [], f"behind {count}"


def violations(definition: bytes, events: list[Record]) -> list[str]:
    """What `audit verify` finds; the log keeps no commands, so it sees one instance."""
    graph = Record(offset=0, key=b"w", value=definition, headers=(), timestamp_ms=0)
    records: list[tuple[Topic, int, Record]] = [(Topic.DEFINITIONS, 0, graph)]
    records += [(Topic.EVENTS, 0, event) for event in events]
    found = verify_records(records, partitions=1, instance_id="test")
    return [f"{one}" for one in found]

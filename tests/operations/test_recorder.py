"""What a recorder counts of an engine on a memory log."""

from __future__ import annotations

import asyncio

import pytest

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.engine.clock import ManualClock, SystemClock
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.operations.metrics.catalogue import METRICS
from sayiir_es.operations.metrics.recorder import Recorder
from sayiir_es.operations.metrics.series import (
    LABEL_LENGTH_MAX,
    OTHER,
    BoundedLabel,
    Buckets,
)
from tests.engine.harness import EngineHarness


@task
def add_one(number: int) -> int:
    return number + 1


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.001))
def refuse(number: int) -> int:
    raise ValueError(number)


@task(timeout="50ms")
async def sleep_on(number: int) -> int:
    await asyncio.sleep(60)
    return number


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(SystemClock())


@pytest.fixture
def harness(recorder: Recorder) -> EngineHarness:
    return EngineHarness(meter=recorder)


async def test_each_event_command_and_attempt_is_counted_once(
    recorder: Recorder, harness: EngineHarness
) -> None:
    flow = Flow("adding").then(add_one).then(add_one).build()
    async with harness.worker(flow):
        for number in range(3):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="adding", input=1
            )
            await harness.output(f"i{number}")
        kinds = await harness.kinds("i0")
        assert recorder.commands.values == {("accepted",): 3}
        assert recorder.attempts.values == {("adding", "completed"): 6}
        assert recorder.events.values == {
            (kind,): 3 * kinds.count(kind) for kind in kinds
        }
        assert recorder.queue_s.of().cumulated()[-1][1] == 6
        assert recorder.attempt_s.of(("adding",)).cumulated()[-1][1] == 6
        assert recorder.decisions.values[()] >= 3 + 6
        batches = recorder.append_s.of().cumulated()[-1][1]
        assert 1 <= batches == recorder.decide_s.of().cumulated()[-1][1]
        assert recorder.claims.values == {("true",): 1}


async def test_a_command_that_is_not_accepted_is_counted_by_what_became_of_it(
    recorder: Recorder, harness: EngineHarness
) -> None:
    flow = Flow("adding").then(add_one).build()
    async with harness.worker(flow):
        start = {"workflow": "adding", "input": 1, "command_id": "c"}
        await harness.command("StartWorkflow", "i", **start)
        await harness.output()
        await harness.command("StartWorkflow", "i", **start)
        await harness.command("StartWorkflow", "j", workflow="unheard of")
        await harness.log.produce(
            Topic.COMMANDS, 0, NewRecord(key=b"k", value=b"\x00 no command")
        )
        await harness.command("StartWorkflow", "last", workflow="adding", input=1)
        await harness.output("last")
    assert recorder.commands.values == {
        ("accepted",): 2,
        ("acknowledged",): 1,
        ("rejected",): 1,
        ("dead_lettered",): 1,
    }
    assert recorder.rejections.values == {("unknown_workflow",): 1}


async def test_failures_retries_and_time_outs_are_counted_by_workflow(
    recorder: Recorder, harness: EngineHarness
) -> None:
    refusing = Flow("refusing").then(refuse).build()
    sleeping = Flow("sleeping").then(sleep_on).build()
    async with harness.worker(refusing, sleeping):
        await harness.command("StartWorkflow", "r", workflow="refusing", input=1)
        await harness.command("StartWorkflow", "s", workflow="sleeping", input=1)
        await harness.until_kind("WorkflowFailed", "r")
        await harness.until_kind("WorkflowFailed", "s")
        assert recorder.retries.values == {("refusing",): 1}
        assert recorder.attempts.values == {
            ("refusing", "failed"): 2,
            ("sleeping", "timed_out"): 1,
        }
        assert recorder.timer_late_s.of().cumulated()[-1][1] >= 1


def test_an_abandoned_attempt_timed_out_only_behind_its_deadline() -> None:
    clock = ManualClock(now_ms=1_000)
    recorder = Recorder(clock)
    recorder.attempt_abandoned("w", None, 1.0)
    recorder.attempt_abandoned("w", 2_000, 1.0)
    recorder.attempt_abandoned("w", 1_000, 1.0)
    assert recorder.attempts.values == {("w", "withdrawn"): 2, ("w", "timed_out"): 1}


def test_a_label_that_others_choose_has_a_hundred_values_at_most() -> None:
    label = BoundedLabel()
    names = [label.of(f"w{number}") for number in range(500)]
    assert len(set(names)) == 101
    assert names[100:] == [OTHER] * 400
    assert label.of("w3") == "w3"  # one of the first stays itself


def test_a_value_of_a_label_can_always_be_written() -> None:
    label = BoundedLabel()
    assert label.of("\ud800x").encode() == b"?x"
    assert len(label.of("y" * 10_000)) == LABEL_LENGTH_MAX


def test_buckets_are_cumulated_and_a_bound_belongs_to_its_bucket() -> None:
    buckets = Buckets((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        buckets.observe(value)
    assert buckets.cumulated() == [(0.1, 2), (1.0, 3), (float("inf"), 4)]
    assert buckets.sum == pytest.approx(7.65)


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in METRICS:
        assert metric.name.startswith("sayiir_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert (metric.kind == "histogram") <= metric.name.endswith("_seconds")
        assert "_ms" not in metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)

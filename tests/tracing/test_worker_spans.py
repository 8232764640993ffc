"""A trace goes from a command through its decision to every attempt."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, StatusCode

from sayiir_es import Flow, RetryPolicy, get_task_context, task
from sayiir_es.core.model.events import SignalReceived, WorkflowStarted
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine import tracer as tracing
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.trace_context import TRACEPARENT_HEADER, read_traceparent
from tests.engine.harness import LIMIT_S, EngineHarness
from tests.tracing.spans import (
    SENDER,
    TRACE,
    TRACEPARENT,
    Spans,
    id_of,
    links_of,
    parent_of,
    said_by,
    trace_of,
)

if TYPE_CHECKING:
    import pytest

OTHER_TRACE = "af7651916cd43dd8448eb211c80319c1"
OTHER = f"00-{OTHER_TRACE}-b7ad6b7169203331-01"
QUICK = RetryPolicy(max_retries=2, initial_delay_secs=0.01)


@task
def double(value: int) -> int:
    return value * 2


async def produce(
    harness: EngineHarness, name: str, traceparent: bytes | None, **fields: object
) -> None:
    """A foreign producer's record, with its header."""
    body = {"command": name, "instance_id": "i", **fields}
    headers = () if traceparent is None else ((TRACEPARENT_HEADER, traceparent),)
    record = NewRecord(key=b"i", value=json.dumps(body).encode(), headers=headers)
    await harness.log.produce(Topic.COMMANDS, 0, record)


async def test_a_record_s_header_leads_to_its_decision_and_its_attempt(
    spans: Spans,
) -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("doubling").then(double).build()):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="doubling", input=4
        )
        assert await harness.output() == 8
    decision, attempt = spans.one("decide commands"), spans.one("attempt double")
    assert (trace_of(decision), parent_of(decision)) == (TRACE, SENDER)
    assert decision.kind is SpanKind.CONSUMER
    said = said_by(decision)
    assert said.pop("messaging.message.id")
    assert said == {
        "messaging.system": "sayiir",
        "messaging.destination.name": "commands",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.operation.name": "decide",
        "messaging.operation.type": "process",
        "sayiir.command": "StartWorkflow",
        "sayiir.decision": "WorkflowStarted",
        "sayiir.instance.id": "i",
        "sayiir.workflow.name": "doubling",
    }
    assert (trace_of(attempt), parent_of(attempt)) == (TRACE, id_of(decision))
    assert attempt.kind is SpanKind.INTERNAL
    assert said_by(attempt) == {
        "sayiir.workflow.name": "doubling",
        "sayiir.instance.id": "i",
        "sayiir.task.id": "double",
        "sayiir.task.attempt": 1,
        "sayiir.task.path": "double",
        "sayiir.run": 1,
    }


async def test_an_append_is_linked_to_its_decisions_and_has_no_parent(
    spans: Spans,
) -> None:
    harness = EngineHarness()
    await harness.log.open(create=True)
    for number in range(3):  # before there is an owner: they are decided in one batch
        await produce(harness, "SendSignal", None, signal="go", payload=number)
    async with harness.worker(Flow("doubling").then(double).build()):
        await harness.until(lambda events: len(events) == 3)
    decisions = spans.ended("decide")
    append = spans.one("append events")
    assert len(decisions) == 3
    assert append.parent is None
    assert links_of(append) == [id_of(decision) for decision in decisions]
    assert append.kind is SpanKind.PRODUCER
    assert said_by(append)["messaging.batch.message_count"] == 3
    assert len({trace_of(span) for span in (*decisions, append)}) == 4


async def test_retries_are_attempts_with_a_number_and_an_error(spans: Spans) -> None:
    @task(retries=QUICK)
    async def flaky(value: int) -> int:
        if get_task_context().attempt == 1:
            raise ConnectionError("the bank is closed " + "x" * 5_000)
        return value

    harness = EngineHarness()
    async with harness.worker(Flow("trying").then(flaky).build()):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="trying", input=4
        )
        assert await harness.output() == 4
    first, second = spans.ended("attempt flaky")
    assert [said_by(span)["sayiir.task.attempt"] for span in (first, second)] == [1, 2]
    assert trace_of(first) == trace_of(second) == TRACE
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET
    (event,) = first.events
    assert event.name == "exception"
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ConnectionError"
    message = event.attributes["exception.message"]
    assert isinstance(message, str)
    assert message.startswith("the bank is closed")
    assert len(message) == tracing.TEXT_MAX
    assert said_by(first)["error.type"] == "ConnectionError"


async def test_an_attempt_behind_a_wait_is_linked_to_the_signal(spans: Spans) -> None:
    harness = EngineHarness()
    flow = Flow("asking").wait_for_signal("approval").then(double)
    async with harness.worker(flow.build()):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="asking", input=4
        )
        await harness.until_kind("SignalAwaited")
        await produce(
            harness, "SendSignal", OTHER.encode(), signal="approval", payload=5
        )
        assert await harness.output() == 10
    start, signal = spans.ended("decide")
    attempt = spans.one("attempt double")
    assert (trace_of(signal), parent_of(signal)) == (OTHER_TRACE, "b7ad6b7169203331")
    assert links_of(signal) == [id_of(start)]
    assert (trace_of(attempt), parent_of(attempt)) == (TRACE, id_of(start))
    assert links_of(attempt) == [id_of(signal)]


async def test_a_kept_input_and_a_delay_keep_the_link_or_the_trace(
    spans: Spans,
) -> None:
    harness = EngineHarness()
    flow = (
        Flow("asking")
        .delay("a while", 0.01)
        .wait_for_signal("approval", keep_input=True)
        .then(double)
    )
    async with harness.worker(flow.build()):
        await produce(
            harness, "SendSignal", OTHER.encode(), signal="approval", payload=5
        )
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="asking", input=4
        )
        assert await harness.output() == 8
    signal, start = spans.ended("decide")
    attempt = spans.one("attempt double")
    assert (trace_of(attempt), parent_of(attempt)) == (TRACE, id_of(start))
    assert links_of(attempt) == [id_of(signal)]


async def test_who_takes_over_goes_on_in_the_same_trace(spans: Spans) -> None:
    harness = EngineHarness()
    flow = Flow("asking").wait_for_signal("approval").then(double).build()
    async with harness.worker(flow):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="asking", input=4
        )
        await harness.until_kind("SignalAwaited")
    start = spans.one("decide commands")
    async with harness.worker(flow):  # with a store of its own: it folds the log
        await produce(
            harness, "SendSignal", OTHER.encode(), signal="approval", payload=5
        )
        assert await harness.output() == 10
    attempt = spans.one("attempt double")
    assert (trace_of(attempt), parent_of(attempt)) == (TRACE, id_of(start))
    assert links_of(attempt) == [id_of(spans.ended("decide")[1])]


async def test_a_start_in_no_trace_begins_one(spans: Spans) -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("doubling").then(double).build()):
        await produce(harness, "StartWorkflow", None, workflow="doubling", input=4)
        assert await harness.output() == 8
        (started, *_) = await harness.events()
    decision, attempt = spans.one("decide commands"), spans.one("attempt double")
    assert decision.parent is None
    assert parent_of(attempt) == id_of(decision)
    assert isinstance(started.body, WorkflowStarted)
    assert started.body.traceparent is not None
    assert started.body.traceparent.startswith(
        f"00-{trace_of(decision)}-{id_of(decision)}-"
    )


async def test_every_event_of_an_instance_has_the_trace_in_a_header(
    spans: Spans,
) -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("doubling").then(double).build()):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="doubling", input=4
        )
        assert await harness.output() == 8
        records = [r for r in await harness.records() if r.key]
    decision = id_of(spans.one("decide commands"))
    contexts = {read_traceparent(record.headers) for record in records}
    assert contexts == {f"00-{TRACE}-{decision}-01"}


async def test_without_tracing_the_trace_context_still_goes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing._Tracing, "is_off", True)  # pyright: ignore[reportPrivateUsage]  # as behind `shutdown_tracing`
    harness = EngineHarness()
    flow = Flow("asking").wait_for_signal("approval").then(double)
    async with harness.worker(flow.build()):
        await produce(
            harness, "StartWorkflow", TRACEPARENT.encode(), workflow="asking", input=4
        )
        await harness.until_kind("SignalAwaited")
        await produce(
            harness, "SendSignal", OTHER.encode(), signal="approval", payload=5
        )
        assert await harness.output() == 10
        bodies = [event.body for event in await harness.events()]
        headers = [
            read_traceparent(record.headers)
            for record in await harness.records()
            if record.key
        ]
    started = next(body for body in bodies if isinstance(body, WorkflowStarted))
    received = next(body for body in bodies if isinstance(body, SignalReceived))
    assert started.traceparent == TRACEPARENT
    assert received.traceparent == OTHER
    assert set(headers) == {TRACEPARENT, OTHER}


async def test_what_is_no_trace_context_counts_as_none(spans: Spans) -> None:
    hostile = (b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"x" * 90_000, b"\xff\n")
    harness = EngineHarness()
    async with harness.worker(Flow("doubling").then(double).build()):
        for header in hostile:
            await produce(harness, "SendSignal", header, signal="go", payload=1)
        events = await harness.until(lambda events: len(events) == len(hostile))
    for event in events:
        assert isinstance(event.body, SignalReceived)
        assert event.body.traceparent is not None
        assert len(event.body.traceparent) == 55
    assert [span.parent for span in spans.ended("decide")] == [None] * len(hostile)


async def test_a_refused_command_is_an_error_of_its_decision(spans: Spans) -> None:
    harness = EngineHarness()
    async with harness.worker(Flow("doubling").then(double).build()):
        await produce(harness, "CancelWorkflow", TRACEPARENT.encode())
        await harness.until_kind("CommandRejected")
    decision = spans.one("decide commands")
    assert said_by(decision)["error.type"] == "not_found"
    assert decision.status.status_code is StatusCode.ERROR


async def test_a_command_on_the_wrong_partition_is_forwarded_in_its_trace(
    spans: Spans,
) -> None:
    harness = EngineHarness(log=MemoryLog(2))
    home = partition_of(b"i", 2)
    ended = asyncio.Event()

    @task
    async def end(_value: int) -> None:
        ended.set()

    async with harness.worker(Flow("doubling").then(end).build()):
        body = {
            "command": "StartWorkflow",
            "instance_id": "i",
            "workflow": "doubling",
            "input": 4,
        }
        record = NewRecord(
            key=b"i",
            value=json.dumps(body).encode(),
            headers=((TRACEPARENT_HEADER, TRACEPARENT.encode()),),
        )
        await harness.log.produce(Topic.COMMANDS, 1 - home, record)
        async with asyncio.timeout(LIMIT_S):
            await ended.wait()
    assert trace_of(spans.one("decide commands")) == TRACE
    assert trace_of(spans.one("attempt end")) == TRACE

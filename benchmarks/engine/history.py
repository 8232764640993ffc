"""A long history to audit: one real run, copied for many instances.

A run with tasks, a time-out, a retry, a delay and a fork is recorded once. Its copies
are interleaved, a thousand alive at any time, as if one owner had decided them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from sayiir_es import (
    Flow,
    InMemoryBackend,
    RetryPolicy,
    resume_workflow,
    run_durable_workflow,
    task,
)
from sayiir_es.audit.verify.log import read_to
from sayiir_es.core.model.events import (
    DeadlineSet,
    DelayStarted,
    Event,
    PartitionClaimed,
    RetryRecorded,
)
from sayiir_es.log.port import Record, Topic
from sayiir_es.wire.events import decode_event, encode_event, event_headers, record_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.log.port import Log

ALIVE = 1_000

_failed = False


@task(timeout="60s", retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
def charge(value: int) -> int:
    """Fail once."""
    global _failed  # noqa: PLW0603  # the one run that is copied
    if not _failed:
        _failed = True
        raise ValueError("once")
    return value


@task
def pick(value: int) -> int:
    """A branch."""
    return value


@task
def join(value: dict[str, int]) -> int:
    """What joins them."""
    return sum(value.values())


def workflow(more_steps: int = 0) -> Workflow:
    """The workflow of the run: 22 events, and two for each of `more_steps`."""
    flow = Flow("orders").then(pick, name="begin").then(charge).delay("rest", 0)
    flow = flow.fork().branch(pick, name="x").branch(pick, name="y").join(join)
    for number in range(more_steps):
        flow = flow.then(pick, name=f"step_{number}")
    return flow.then(pick, name="last").build()


def record_run(bench_workflow: Workflow) -> list[Event]:
    """The events of one real run."""
    global _failed  # noqa: PLW0603  # it fails once again
    _failed = False
    with InMemoryBackend() as backend:
        status = run_durable_workflow(bench_workflow, "one", 1, backend=backend)
        while not status.is_completed():  # it parks at the retry and at the delay
            time.sleep(0.01)
            status = resume_workflow(bench_workflow, "one", backend=backend)
        return asyncio.run(events_of(backend.open_log()))


async def events_of(log: Log) -> list[Event]:
    """The events of the one instance on a log."""
    end = await log.end_offset(Topic.EVENTS, 0)
    return [
        event
        async for chunk in read_to(log, Topic.EVENTS, 0, 0, end)
        for record in chunk.records
        if (event := decode_event(record.value or b"")).instance_id
    ]


def shift(event: Event, by_ms: int) -> Event:
    """The same event, so much later."""
    cause, body = event.cause, event.body
    if cause.startswith("timer:"):
        path, _, due_at = cause.rpartition("@")
        cause = f"{path}@{int(due_at) + by_ms}"
    match body:
        case DelayStarted():
            body = replace(body, due_at=body.due_at + by_ms)
        case RetryRecorded():
            body = replace(body, next_retry_at=body.next_retry_at + by_ms)
        case DeadlineSet():
            body = replace(body, deadline_at=body.deadline_at + by_ms)
        case _:
            pass
    return replace(event, at=event.at + by_ms, cause=cause, body=body)


def copies(
    events: Sequence[Event],
    instances: int,
    command_of: Callable[[int], str] = "command:0@{}".format,
) -> Iterator[Event]:
    """The run again and again, `ALIVE` instances side by side.

    `command_of` gives the cause of the start of the instance of a number.
    """
    span_ms = events[-1].at - events[0].at + 1
    decisions = [
        list(decision_events)
        for _, decision_events in groupby(events, key=lambda e: e.cause)
    ]
    for first in range(0, instances, ALIVE):
        numbers = range(first, min(first + ALIVE, instances))
        for decision in decisions:
            later = [shift(event, first // ALIVE * span_ms) for event in decision]
            for number in numbers:
                yield from rename_to(later, instance_of(number), command_of(number))


def instance_of(number: int) -> str:
    """The id of the instance of that number."""
    return f"order-{number}"


def rename_to(
    decision: Sequence[Event], instance_id: str, start: str
) -> Iterator[Event]:
    """A decision as one of that instance, whose start has the cause `start`."""
    for event in decision:
        cause = start if event.cause.startswith("command:") else event.cause
        yield replace(event, claim=0, instance_id=instance_id, cause=cause)


def claimed(at_ms: int) -> Event:
    """The claim under which all events are written."""
    return Event(
        claim=-1,
        instance_id="",
        run=0,
        sequence=0,
        at=at_ms,
        cause="",
        body=PartitionClaimed(owner="w", build="b", next_command=0),
    )


def record(offset: int, event: Event) -> Record:
    """An event as its record."""
    return Record(
        offset=offset,
        key=record_key(event),
        value=encode_event(event),
        headers=event_headers(event.kind, event.claim),
        timestamp_ms=event.at,
    )

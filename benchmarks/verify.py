"""How many events a second one core verifies, and how much memory that takes.

Run `python benchmarks/verify.py [INSTANCES]`. One real run (tasks, a time-out, a retry,
a delay and a fork) is written again for as many instances, a thousand of them alive at
any time. Checking includes reading the bytes of each event; reading the log does not
count.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import asyncio
import resource
import sys
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
from sayiir_es.audit import Checker
from sayiir_es.audit.verify_log import read_to
from sayiir_es.core.events import (
    DeadlineSet,
    DelayStarted,
    Event,
    PartitionClaimed,
    RetryRecorded,
)
from sayiir_es.core.graph_record import record_of_graph
from sayiir_es.log.port import Record, Topic
from sayiir_es.wire.events import decode_event, encode_event, event_headers, record_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sayiir_es.log.port import Log

INSTANCES = 20_000
ALIVE = 1_000
PER_CHUNK = 1_000

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


def workflow() -> Flow:
    """What the run is of."""
    flow = Flow("orders").then(pick, name="begin").then(charge).delay("rest", 0)
    flow = flow.fork().branch(pick, name="x").branch(pick, name="y").join(join)
    return flow.then(pick, name="last")


async def events_of(log: Log) -> list[Event]:
    """The events of the one instance on a log."""
    end = await log.end_offset(Topic.EVENTS, 0)
    return [
        event
        async for chunk in read_to(log, Topic.EVENTS, 0, 0, end)
        for record in chunk.records
        if (event := decode_event(record.value or b"")).instance_id
    ]


def shifted(event: Event, by_ms: int) -> Event:
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


def copies(events: Sequence[Event], instances: int) -> Iterator[Event]:
    """The run again and again, `ALIVE` instances side by side."""
    span_ms = events[-1].at - events[0].at + 1
    decisions = [list(one) for _, one in groupby(events, key=lambda e: e.cause)]
    for first in range(0, instances, ALIVE):
        numbers = range(first, min(first + ALIVE, instances))
        for decision in decisions:
            later = [shifted(event, first // ALIVE * span_ms) for event in decision]
            for number in numbers:
                yield from named(later, number)


def named(decision: Sequence[Event], number: int) -> Iterator[Event]:
    """A decision as one of the instance of that number."""
    for event in decision:
        cause = event.cause
        if cause.startswith("command:"):
            cause = f"command:0@{number}"
        yield replace(event, claim=0, instance_id=f"order-{number}", cause=cause)


def record(offset: int, event: Event) -> Record:
    """An event as its record."""
    return Record(
        offset=offset,
        key=record_key(event),
        value=encode_event(event),
        headers=event_headers(event.kind, event.claim),
        timestamp_ms=event.at,
    )


def measured(checker: Checker, records: Sequence[Record]) -> float:
    """CPU seconds that a chunk of records takes to check."""
    answered = checker.commands_wanted(0)
    begin = time.process_time()
    for one in records:
        for found in checker.take(0, one):
            raise AssertionError(found)
    upto = checker.commands_wanted(0)
    found_late = checker.take_commands(0, range(answered, upto), past=upto)
    assert not found_late, found_late[0]
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    instances = int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES
    graph = workflow().build()
    with InMemoryBackend() as backend:
        status = run_durable_workflow(graph, "one", 1, backend=backend)
        while not status.is_completed():  # it parks at the retry and at the delay
            time.sleep(0.01)
            status = resume_workflow(graph, "one", backend=backend)
        events = asyncio.run(events_of(backend.open_log()))
    checker = Checker(partitions=1)
    checker.take_definition(record_of_graph(graph.graph))
    claimed = Event(
        claim=-1,
        instance_id="",
        run=0,
        sequence=0,
        at=events[0].at,
        cause="",
        body=PartitionClaimed(owner="w", build="b", next_command=0),
    )
    chunk = [record(0, claimed)]
    seconds, count, alive = 0.0, 1, 0
    for event in copies(events, instances):
        chunk.append(record(count, event))
        count += 1
        if len(chunk) >= PER_CHUNK:
            seconds += measured(checker, chunk)
            alive = max(alive, checker.live)
            chunk = []
    seconds += measured(checker, chunk)
    assert not checker.finish()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"{count:,} events of {instances:,} instances in {seconds:.1f} s of CPU: "
        f"{count / seconds:,.0f} events/s; at most {alive:,} instances in memory, "
        f"{peak_mb:.0f} MB in all\n"
    )


if __name__ == "__main__":
    main()

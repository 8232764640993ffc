"""A history of two owners, one displaced, that is written to a log in stages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.events import (
    Body,
    Event,
    PartitionClaimed,
    PositionUpdated,
    TaskCompleted,
    WorkflowCompleted,
    WorkflowStarted,
)
from sayiir_es.engine.owner.tenure import to_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sayiir_es.log.port import Log

_CLAIM = PartitionClaimed(owner="w/1", build="test", next_command=0)


def run_of(instance_id: str, claim: int) -> list[Event]:
    """Return the events of a run of one task."""
    bodies: tuple[Body, ...] = (
        WorkflowStarted(
            command_id=instance_id,
            workflow="orders",
            definition_hash="h",
            graph_digest="g",
            input=b"1",
            conflict_policy="fail",
            attributes={},
        ),
        PositionUpdated(path="charge", attempt=1, input="start"),
        TaskCompleted(path="charge", attempt=1, output=b"2", loop="none", worker="w"),
        WorkflowCompleted(output=b"2"),
    )
    return [_event(instance_id, claim, at, body) for at, body in enumerate(bodies, 1)]


def _event(instance_id: str, claim: int, sequence: int, body: Body) -> Event:
    return Event(
        claim=claim,
        instance_id=instance_id,
        run=int(sequence > 0),
        sequence=sequence,
        at=sequence,
        cause="",
        body=body,
    )


def claim() -> list[Event]:
    """Return a claim of the partition, as a batch."""
    return [_event("", -1, 0, _CLAIM)]


STAGES: tuple[tuple[list[Event], ...], ...] = (
    (claim(), run_of("i-1", 0)),  # offsets 0, 1–4
    # The second owner claims; the first does not know. A stage begins with an event of
    # the first, too: a projection that goes on there must have stored the claim.
    (claim(), run_of("i-2", 5), run_of("late-1", 0)),  # 5, 6–9, 10–13
    (run_of("late-2", 0), run_of("i-3", 5)),  # 14–17, 18–21
)

VALID = [*range(10), *range(18, 22)]
"""The offsets of the valid events, claims among them."""


async def append(log: Log, batches: Sequence[Sequence[Event]]) -> None:
    """Append to partition 0, batch by batch."""
    for batch in batches:
        appender = await log.appender(0)
        await appender.append([to_record(event) for event in batch])
        await appender.close()


def append_to(file: Path, stage: int) -> None:
    """Append a stage of the history to the log in a file."""

    async def body() -> None:
        log = EmbeddedBackend(file).open_log()
        await log.open(create=True)
        await append(log, STAGES[stage])
        await log.close()

    asyncio.run(body())

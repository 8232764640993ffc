"""What the demo claims, checked against the history and the tasks' own notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.cli.demo.orders import executions
from sayiir_es.core.model.events import (
    PartitionClaimed,
    RetryRecorded,
    TaskCompleted,
    WorkflowCompleted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.engine.valid_events import FoundEvent


TASKS = ["reserve", "charge", "bill", "ship", "close"]
"""Each is done once; the two of the fork in any order, here by name."""

KINDS = {"SignalConsumed", "DelayStarted", "DelayElapsed", "ForkStarted"}


def broken_claims(
    events: list[FoundEvent], history: list[FoundEvent], directory: Path
) -> list[str]:
    """What the demo claims and the log does not show; empty when all is true."""
    return list(_broken(events, history, directory))


def _broken(
    events: list[FoundEvent], history: list[FoundEvent], directory: Path
) -> Iterator[str]:
    bodies = [one.event.body for one in history]
    claims = [
        body.owner.partition("/")[0]
        for body in (one.event.body for one in events)
        if isinstance(body, PartitionClaimed)
    ]
    if list(dict.fromkeys(claims)) != ["first", "second"]:
        yield f"expected claims by first and second, but {claims}"
    sequences = [one.event.sequence for one in history]
    if sequences != list(range(1, len(history) + 1)):
        yield f"expected sequences without gap or repeat, but {sequences}"
    retries = [
        (body.path, body.attempt) for body in bodies if isinstance(body, RetryRecorded)
    ]
    if retries != [("reserve", 1)]:
        yield f"expected one retry, of reserve after attempt 1, but {retries}"
    completed_tasks = [
        (body.path, body.attempt, body.worker)
        for body in bodies
        if isinstance(body, TaskCompleted)
    ]
    by_worker = {path: (attempt, worker) for path, attempt, worker in completed_tasks}
    if by_worker.get("reserve") != (2, "first"):
        yield f"expected reserve done at attempt 2 by first, but {completed_tasks}"
    nodes = [path.rpartition("/")[2] for path, _, _ in completed_tasks]
    if nodes[:2] + sorted(nodes[2:-1]) + nodes[-1:] != TASKS:
        yield f"expected each task done once, in order, but {completed_tasks}"
    if by_worker.get("charge", (0, ""))[1] != "second":
        yield f"expected the charge done by second, but {completed_tasks}"
    keys = executions(directory, "charge")
    if len(keys) != 2 or len(set(keys)) != 1:  # noqa: PLR2004 (killed, and again)
        yield f"expected two charges under one key, but {keys}"
    kinds = {one.event.kind for one in history}
    missing = KINDS - kinds
    if missing:
        yield f"expected {sorted(missing)} in the history, but they are missing"
    if not isinstance(bodies[-1] if bodies else None, WorkflowCompleted):
        yield "expected a completed order, but it is not"

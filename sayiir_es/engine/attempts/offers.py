"""What a partition owes to executors, and whether its rows still want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import OwedAttempt, is_held, owed_attempt
from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.inputs import SlotTaken
from sayiir_es.core.model.rows import Header, Rows, get_cursor, get_header, get_run
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.executor_port import Job
    from sayiir_es.engine.definitions.registry import Registry


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An attempt that a batch made due; `reserved` if it holds a slot already."""

    job: Job
    reserved: bool
    begins: bool
    restart: bool


def owed_of(
    header: Header, rows: Rows, chain: str, registry: Registry
) -> OwedAttempt | None:
    """The attempt that the cursor of `chain` owes, by the graph of its run."""
    cursor, started = get_cursor(rows, chain), get_run(rows)
    if cursor is None or started is None:
        return None
    graph = registry.by_digest(started.graph_digest)
    return None if graph is None else owed_attempt(header, cursor, graph)


def slot_taken(job: Job, *, restart: bool) -> SlotTaken:
    """The decision's input that says that a job has its slot."""
    return SlotTaken(
        instance_id=job.instance_id,
        run=job.run,
        path=job.path,
        attempt=job.attempt,
        restart=restart,
    )


def is_awaited(rows: Rows, job: Job) -> bool:
    """Whether the outcome of this attempt would count."""
    owed = awaited(rows, job)
    return owed is not None and not task.is_withdrawn(*owed)


def is_wanted(rows: Rows, job: Job) -> bool:
    """Whether the attempt is to begin: owed, and no request holds it back."""
    owed = awaited(rows, job)
    return owed is not None and not is_held(owed[0])


def awaited(rows: Rows, job: Job) -> tuple[Header, Awaiting] | None:
    """What awaits this very attempt, withdrawn or not; None if nothing does."""
    header, cursor = get_header(rows), get_cursor(rows, job.chain)
    if (
        header is None
        or cursor is None
        or header.phase != "running"
        or header.run != job.run
        or cursor.path != job.path
    ):
        return None
    wait = cursor.wait
    if not isinstance(wait, Awaiting) or wait.attempt != job.attempt:
        return None
    return header, wait

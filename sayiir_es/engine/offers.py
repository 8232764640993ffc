"""What a partition owes to executors, and whether its rows still want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.making import quickly_made
from sayiir_es.core.moves import is_held
from sayiir_es.core.nodes import task
from sayiir_es.core.outcomes import SlotTaken
from sayiir_es.core.owed import OwedAttempt, owed_attempt
from sayiir_es.core.rows import Header, Rows, cursor, header, run
from sayiir_es.core.waits import Awaiting

if TYPE_CHECKING:
    from sayiir_es.engine.execution import Job
    from sayiir_es.engine.registry import Registry


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An attempt that a batch made due; `reserved` if it holds a slot already."""

    job: Job
    reserved: bool
    begins: bool
    restart: bool


def owed_of(
    known: Header, rows: Rows, chain: str, registry: Registry
) -> OwedAttempt | None:
    """The attempt that the cursor of `chain` owes, by the graph of its run."""
    standing, started = cursor(rows, chain), run(rows)
    if standing is None or started is None:
        return None
    graph = registry.by_digest(started.graph_digest)
    return None if graph is None else owed_attempt(known, standing, graph)


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
    known, standing = header(rows), cursor(rows, job.chain)
    if (
        known is None
        or standing is None
        or known.phase != "running"
        or known.run != job.run
        or standing.path != job.path
    ):
        return None
    wait = standing.wait
    if not isinstance(wait, Awaiting) or wait.attempt != job.attempt:
        return None
    return known, wait

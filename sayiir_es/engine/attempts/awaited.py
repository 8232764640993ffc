"""Whether the rows of an instance still want an attempt, and that it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held
from sayiir_es.core.model.inputs import SlotTaken
from sayiir_es.core.model.rows import get_cursor, get_header
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes import task
from sayiir_es.engine.attempts.attempt import State

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Header, Rows
    from sayiir_es.engine.attempts.attempt import Attempt


def is_awaited(rows: Rows, attempt: Attempt) -> bool:
    """Whether the outcome of this attempt would count."""
    awaited = get_awaited(rows, attempt)
    if awaited is None:
        return False
    if task.is_withdrawn(*awaited) and not _is_to_restart(attempt):
        return False
    return not (attempt.is_elsewhere and is_displaced(awaited[1], attempt))


def _is_to_restart(attempt: Attempt) -> bool:
    """Whether it waits to begin again, as an event will say then."""
    return attempt.restart and attempt.state in (State.QUEUED, State.GRANTED)


def is_displaced(wait: Awaiting, attempt: Attempt) -> bool:
    """Whether an attempt that was handed out counts no more as that hand-out."""
    lease = attempt.lease
    return lease is not None and lease.handout.secret_hash != wait.secret_hash


def is_wanted(rows: Rows, attempt: Attempt) -> bool:
    """Whether the attempt is to begin: owed, and no request holds it back."""
    awaited = get_awaited(rows, attempt)
    return awaited is not None and not is_held(awaited[0])


def get_awaited(rows: Rows, attempt: Attempt) -> tuple[Header, Awaiting] | None:
    """What awaits this very attempt, withdrawn or not; None if nothing does."""
    header, cursor = get_header(rows), get_cursor(rows, attempt.chain)
    if (
        header is None
        or cursor is None
        or header.phase != "running"
        or header.run != attempt.run
        or cursor.path != attempt.path
    ):
        return None
    wait = cursor.wait
    if not isinstance(wait, Awaiting) or wait.attempt != attempt.number:
        return None
    return header, wait


def slot_taken(attempt: Attempt) -> SlotTaken:
    """The input that records that an attempt has a slot."""
    return SlotTaken(
        instance_id=attempt.instance_id,
        run=attempt.run,
        path=attempt.path,
        attempt=attempt.number,
        restart=attempt.restart,
        handout=None if attempt.lease is None else attempt.lease.handout,
    )


def begins(rows: Rows, attempt: Attempt) -> bool:
    """Whether an event must say that it begins, before it may."""
    if attempt.restart or attempt.lease is not None:
        return True
    wait = task.awaiting(rows, attempt.path) if attempt.is_timed else None
    return wait is not None and wait.deadline_at is None

"""What a snapshot says must still be handed out or armed: a pure function of rows.

Live, the owner asks about the cursors that a decision changed; after a take-over about
all. Nothing else decides what runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide.owed_moves import is_held
from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Inside,
    Listening,
    Looping,
    Routing,
    Sleeping,
)
from sayiir_es.core.nodes import task

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Cursor, Header


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class OwedAttempt:
    """An attempt to hand out, not before `not_before` (epoch ms; 0: at once).

    `begun` says that after a take-over it may have begun under the earlier owner,
    `withdrawn` that it was taken back and no event has wanted it since.
    """

    run: int
    path: str
    attempt: int
    input: str
    not_before: int
    deadline_at: int | None
    begun: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedTimer:
    """A time to wake the cursor of `chain`; `signal` for a wait's time-out."""

    chain: str
    due_at: int
    signal: bool


def owed_attempt(header: Header, cursor: Cursor, graph: Graph) -> OwedAttempt | None:
    """The attempt that the cursor awaits, if it is to be handed out."""
    wait = cursor.wait
    if not isinstance(wait, Awaiting) or header.phase != "running" or is_held(header):
        return None
    return OwedAttempt(
        run=header.run,
        path=cursor.path,
        attempt=wait.attempt,
        input=cursor.input,
        not_before=wait.not_before,
        deadline_at=wait.deadline_at,
        begun=may_have_begun(header, cursor, graph),
        withdrawn=task.is_withdrawn(header, wait),
    )


def may_have_begun(header: Header, cursor: Cursor, graph: Graph) -> bool:
    """Whether an earlier owner may have begun the awaited attempt.

    With a time-out its `DeadlineSet` tells. Without one, it may have as soon as it was
    due, or its backoff was over by that owner's clock, which nobody knows any more. An
    attempt that was withdrawn in the middle, and is wanted again, has.
    """
    wait = cursor.wait
    if not isinstance(wait, Awaiting):
        return False
    if task.is_withdrawn(header, wait):
        return True
    place = graph.place(cursor.path)
    timed = (
        place is not None
        and isinstance(place.node, TaskNode)
        and place.node.timeout_ms is not None
    )
    return wait.deadline_at is not None or not timed


def owed_timer(header: Header, chain: str, cursor: Cursor) -> OwedTimer | None:
    """The time at which the cursor wakes by itself, if any.

    While a pause is requested or in force only deadlines fire; while a cancel is, too.
    """
    if header.phase != "running":
        return None
    held = is_held(header)
    match cursor.wait:
        case Awaiting() as wait:
            if wait.deadline_at is not None:
                return OwedTimer(chain=chain, due_at=wait.deadline_at, signal=False)
            if wait.not_before > header.at:
                # Armed while a cancel or pause is requested too: what comes due then
                # counts as running, and must be withdrawn.
                return OwedTimer(chain=chain, due_at=wait.not_before, signal=False)
            return None
        case Sleeping() as wait:
            if held:
                return None
            return OwedTimer(chain=chain, due_at=wait.due_at, signal=False)
        case Listening() as wait:
            if held or wait.until_at is None:
                return None
            return OwedTimer(chain=chain, due_at=wait.until_at, signal=True)
        case Ended() | Broken() | Branching() | Routing() | Looping() | Inside():
            return None
        case _:
            assert_never(cursor.wait)

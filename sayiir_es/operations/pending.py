"""What an instance waits for now, one by one: attempts, signals, times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.rows import TERMINAL, get_cursors, get_header
from sayiir_es.core.model.waits import Awaiting, Listening, RunDeadline, Sleeping

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.model.waits import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAttempt:
    """An attempt whose outcome is awaited; it begins not before `not_before`, if set.

    Attributes:
        most: How many attempts there may be; None where the graph is not known.
        since: When the first attempt was due; 0 where no event says so.
        failure: How the attempt before it ended.
    """

    path: str
    attempt: int
    most: int | None
    not_before: int
    deadline_at: int | None
    since: int
    restarts: int
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSignal:
    """A wait for a signal, until `until_at` if there is a time-out."""

    path: str
    signal: str
    until_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTime:
    """The end of a delay; with an empty path the time at which the run must end."""

    path: str
    due_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Everything that is waited for, in graph order."""

    attempts: tuple[PendingAttempt, ...] = ()
    signals: tuple[PendingSignal, ...] = ()
    times: tuple[PendingTime, ...] = ()


def pending_of(rows: Rows, graph: Graph | None) -> Pending:
    """What the rows of an instance wait for; nothing once it has ended."""
    header = get_header(rows)
    if header is None or header.phase in TERMINAL:
        return Pending()
    cursors = sorted(
        (cursor for _, cursor in get_cursors(rows)),
        key=lambda cursor: (graph.order(cursor.path) if graph else 0, cursor.path),
    )
    attempts: list[PendingAttempt] = []
    signals: list[PendingSignal] = []
    times: list[PendingTime] = []
    for cursor in cursors:
        match cursor.wait:
            case Awaiting() as wait:
                attempts.append(_attempt(cursor.path, wait, graph))
            case Listening(signal=signal, until_at=until_at):
                signals.append(
                    PendingSignal(path=cursor.path, signal=signal, until_at=until_at)
                )
            case Sleeping(due_at=due_at):
                times.append(PendingTime(path=cursor.path, due_at=due_at))
            case RunDeadline(deadline_at=due_at):
                times.append(PendingTime(path="", due_at=due_at))
            case _:
                pass
    return Pending(attempts=tuple(attempts), signals=tuple(signals), times=tuple(times))


def _attempt(path: str, wait: Awaiting, graph: Graph | None) -> PendingAttempt:
    place = graph.place(path) if graph is not None else None
    most = None
    if place is not None:
        node = place.node
        retry = node.retry if isinstance(node, TaskNode) else None
        most = 1 if retry is None else retry.max_retries + 1
    return PendingAttempt(
        path=path,
        attempt=wait.attempt,
        most=most,
        not_before=wait.not_before,
        deadline_at=wait.deadline_at,
        since=wait.since,
        restarts=wait.restarts,
        failure=wait.failure,
    )

"""What an instance's status is: derived from its rows, the same for every reader.

`waiting_for` is one sentence, made here alone, so that the command line, the pages and
the API say the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.graph import TaskNode
from sayiir_es.core.moves import order
from sayiir_es.core.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    cursors,
    ending,
    header,
    run,
    value,
)
from sayiir_es.core.waits import Awaiting, Listening, Sleeping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.definition import Graph

StatusName: TypeAlias = Literal[
    "in_progress",
    "completed",
    "failed",
    "cancelled",
    "paused",
    "waiting",
    "awaiting_signal",
]


PARTS_MAX = 20
"""Cursors that the sentence names; what else waits it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that a reader may want to know of an instance, as of one event.

    Times are epoch milliseconds. `output` is the payload's bytes. `attempts` maps the
    paths that await an attempt to its number, from 1.
    """

    instance_id: str
    workflow: str
    definition_hash: str
    run: int
    sequence: int
    status: StatusName
    waiting_for: str
    output: bytes | None
    error: str | None
    error_type: str | None
    reason: str | None
    requested_by: str | None
    wake_at: int | None
    node_id: str | None
    signal: str | None
    started_at: int
    updated_at: int
    attempts: Mapping[str, int]
    attributes: Mapping[str, str]


def hidden_id(node_id: str) -> str:
    """A node's id as `delay_id` and `signal_id` of a status show it: SHA-256, hex."""
    return hashlib.sha256(node_id.encode()).hexdigest()


def status_of(rows: Rows, instance_id: str, graph: Graph | None) -> Status | None:
    """The status of an instance, or None where there is no run of that id."""
    known, started, end = header(rows), run(rows), ending(rows)
    if known is None or started is None:
        return None
    standing = sorted(
        (found for _, found in cursors(rows)),
        key=lambda found: order(graph, found.path) if graph is not None else 0,
    )
    name, telling = _name(known, standing)
    wait = telling.wait if telling is not None else None
    return Status(
        instance_id=instance_id,
        workflow=started.workflow,
        definition_hash=started.definition_hash,
        run=known.run,
        sequence=known.sequence,
        status=name,
        waiting_for=_sentence(known, standing, graph),
        output=value(rows, "output") if name == "completed" else None,
        error=_error(known, end.error if end is not None else ""),
        error_type=end.error_type if end is not None and name == "failed" else None,
        reason=end.reason if end is not None else None,
        requested_by=end.requested_by if end is not None else None,
        wake_at=_wake_at(wait),
        node_id=_node_id(graph, telling),
        signal=wait.signal if isinstance(wait, Listening) else None,
        started_at=started.started_at,
        updated_at=known.at,
        attempts={
            found.path: found.wait.attempt
            for found in standing
            if isinstance(found.wait, Awaiting) and name not in ENDED
        },
        attributes=started.attributes,
    )


def status_name(rows: Rows) -> StatusName | None:
    """The name of an instance's status alone; None where there is no run.

    It costs less than a status, which says in words what is waited for.
    """
    known = header(rows)
    if known is None or known.run == 0:
        return None
    if known.phase in TERMINAL or known.phase == "paused":
        return _name(known, [])[0]
    return _name(known, [found for _, found in cursors(rows)])[0]


def is_resting(rows: Rows, *, parked: bool) -> bool:
    """Whether the run has ended, or with `parked` awaits no outcome.

    It costs less than a status, which names every cursor. True where there is no run.
    """
    known = header(rows)
    if known is None or known.phase in TERMINAL:
        return True
    if not parked or known.phase == "paused":
        return parked
    return not any(isinstance(found.wait, Awaiting) for _, found in cursors(rows))


ENDED: frozenset[str] = frozenset(("completed", "failed", "cancelled"))


def _error(known: Header, error: str) -> str | None:
    return error if known.phase == "failed" else None


def _name(known: Header, standing: list[Cursor]) -> tuple[StatusName, Cursor | None]:
    match known.phase:
        case "completed" | "failed" | "cancelled" | "paused":
            return known.phase, None
        case "terminated":
            return "cancelled", None
        case "running" | "unstarted":
            pass
    if any(isinstance(found.wait, Awaiting) for found in standing):
        return "in_progress", None
    sleeping = [
        (found.wait.due_at, index)
        for index, found in enumerate(standing)
        if isinstance(found.wait, Sleeping)
    ]
    if sleeping:
        return "waiting", standing[min(sleeping)[1]]
    for found in standing:
        if isinstance(found.wait, Listening):
            return "awaiting_signal", found
    return "in_progress", None


def _wake_at(wait: object) -> int | None:
    if isinstance(wait, Sleeping):
        return wait.due_at
    return wait.until_at if isinstance(wait, Listening) else None


def _node_id(graph: Graph | None, telling: Cursor | None) -> str | None:
    if telling is None:
        return None
    place = graph.place(telling.path) if graph is not None else None
    return place.node.id if place is not None else telling.path


def _sentence(known: Header, standing: list[Cursor], graph: Graph | None) -> str:
    if known.phase in ENDED or known.phase == "terminated":
        return "nothing: it has ended"
    if known.phase == "paused":
        return "an unpause"
    parts = [part for part in (_part(found, graph) for found in standing) if part]
    if len(parts) > PARTS_MAX:
        parts[PARTS_MAX:] = [f"{len(parts) - PARTS_MAX} more"]
    text = "; ".join(parts) or "its next move"
    if known.cancel is not None:
        text = f"the end of what runs, to be cancelled: {text}"
    elif known.pause is not None:
        text = f"the end of what runs, to be paused: {text}"
    return text


def _part(found: Cursor, graph: Graph | None) -> str:
    wait = found.wait
    if isinstance(wait, Sleeping):
        return f"delay {found.path!r} until {instant(wait.due_at)}"
    if isinstance(wait, Listening):
        until = "" if wait.until_at is None else f" until {instant(wait.until_at)}"
        return f"signal {wait.signal!r} at {found.path!r}{until}"
    if not isinstance(wait, Awaiting):
        return ""
    place = graph.place(found.path) if graph is not None else None
    node = place.node if place is not None else None
    most = ""
    if isinstance(node, TaskNode) and node.retry is not None:
        most = f" of {node.retry.max_retries + 1}"
    text = f"task {found.path!r}, attempt {wait.attempt}{most}"
    if wait.failure is not None:
        text += f", after {wait.failure.error_type}: {wait.failure.error[:120]}"
        text += f", not before {instant(wait.not_before)}"
    if wait.deadline_at is not None:
        text += f", deadline {instant(wait.deadline_at)}"
    return text


def instant(at_ms: int) -> str:
    """Epoch milliseconds as ISO-8601, UTC."""
    return (
        datetime.fromtimestamp(at_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )

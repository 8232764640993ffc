"""What an instance's status is: derived from its rows, the same for every reader.

`waiting_for` is one sentence, made here alone, so that the command line, the pages and
the API say the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    get_cursors,
    get_ending,
    get_header,
    get_run,
    get_value,
)
from sayiir_es.core.model.waits import Awaiting, Listening, Sleeping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.graph.graph import Graph

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
    header, started, end = get_header(rows), get_run(rows), get_ending(rows)
    if header is None or started is None:
        return None
    standing = sorted(
        (found for _, found in get_cursors(rows)),
        key=lambda found: graph.order(found.path) if graph is not None else 0,
    )
    name, telling = _name(header, standing)
    wait = telling.wait if telling is not None else None
    return Status(
        instance_id=instance_id,
        workflow=started.workflow,
        definition_hash=started.definition_hash,
        run=header.run,
        sequence=header.sequence,
        status=name,
        waiting_for=_sentence(header, standing, graph),
        output=get_value(rows, "output") if name == "completed" else None,
        error=_error(header, end.error if end is not None else ""),
        error_type=end.error_type if end is not None and name == "failed" else None,
        reason=end.reason if end is not None else None,
        requested_by=end.requested_by if end is not None else None,
        wake_at=_wake_at(wait),
        node_id=_node_id(graph, telling),
        signal=wait.signal if isinstance(wait, Listening) else None,
        started_at=started.started_at,
        updated_at=header.at,
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
    header = get_header(rows)
    if header is None or header.run == 0:
        return None
    if header.phase in TERMINAL or header.phase == "paused":
        return _name(header, [])[0]
    return _name(header, [cursor for _, cursor in get_cursors(rows)])[0]


def is_resting(rows: Rows, *, parked: bool) -> bool:
    """Whether the run has ended, or with `parked` awaits no outcome.

    It costs less than a status, which names every cursor. True where there is no run.
    """
    header = get_header(rows)
    if header is None or header.phase in TERMINAL:
        return True
    if not parked or header.phase == "paused":
        return parked
    return not any(isinstance(cursor.wait, Awaiting) for _, cursor in get_cursors(rows))


ENDED: frozenset[str] = frozenset(("completed", "failed", "cancelled"))


def _error(header: Header, error: str) -> str | None:
    return error if header.phase == "failed" else None


def _name(header: Header, cursors: list[Cursor]) -> tuple[StatusName, Cursor | None]:
    match header.phase:
        case "completed" | "failed" | "cancelled" | "paused":
            return header.phase, None
        case "terminated":
            return "cancelled", None
        case "running" | "unstarted":
            pass
    if any(isinstance(found.wait, Awaiting) for found in cursors):
        return "in_progress", None
    sleeping = [
        (found.wait.due_at, index)
        for index, found in enumerate(cursors)
        if isinstance(found.wait, Sleeping)
    ]
    if sleeping:
        return "waiting", cursors[min(sleeping)[1]]
    for found in cursors:
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


def _sentence(header: Header, cursors: list[Cursor], graph: Graph | None) -> str:
    if header.phase in ENDED or header.phase == "terminated":
        return "nothing: it has ended"
    if header.phase == "paused":
        return "an unpause"
    parts = [part for part in (_part(found, graph) for found in cursors) if part]
    if len(parts) > PARTS_MAX:
        parts[PARTS_MAX:] = [f"{len(parts) - PARTS_MAX} more"]
    text = "; ".join(parts) or "its next move"
    if header.cancel is not None:
        text = f"the end of what runs, to be cancelled: {text}"
    elif header.pause is not None:
        text = f"the end of what runs, to be paused: {text}"
    return text


def _part(cursor: Cursor, graph: Graph | None) -> str:
    wait = cursor.wait
    if isinstance(wait, Sleeping):
        return f"delay {cursor.path!r} until {instant(wait.due_at)}"
    if isinstance(wait, Listening):
        until = "" if wait.until_at is None else f" until {instant(wait.until_at)}"
        return f"signal {wait.signal!r} at {cursor.path!r}{until}"
    if not isinstance(wait, Awaiting):
        return ""
    place = graph.place(cursor.path) if graph is not None else None
    node = place.node if place is not None else None
    most = ""
    if isinstance(node, TaskNode) and node.retry is not None:
        most = f" of {node.retry.max_retries + 1}"
    text = f"task {cursor.path!r}, attempt {wait.attempt}{most}"
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

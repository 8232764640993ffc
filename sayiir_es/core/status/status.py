"""What an instance's status is: derived from its rows, the same for every reader.

`waiting_for` is one sentence, made here alone, so that the command line, the pages and
the API say the same.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.model.child_rows import CHILD
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Ending,
    Header,
    Phase,
    Quarantine,
    Rows,
    get_cursors,
    get_ending,
    get_header,
    get_quarantine,
    get_run,
    get_value,
)
from sayiir_es.core.model.undo_rows import paths_to_undo
from sayiir_es.core.model.waits import (
    NO_DETAILS,
    Awaiting,
    AwaitingChild,
    AwaitingRunPermit,
    Broken,
    ErrorDetails,
    Failure,
    Listening,
    RunDeadline,
)
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.nodes.kinds import WaitStatus

StatusName: TypeAlias = Literal[
    "in_progress",
    "completed",
    "failed",
    "cancelled",
    "paused",
    "waiting",
    "awaiting_signal",
    "quarantined",
]
StatusFilter: TypeAlias = Literal[StatusName, "stranded"]
"""What instances are searched by; one that is stranded is in progress."""


PARTS_MAX = 20
"""Cursors that the sentence names; what else waits it counts."""


ERROR_CHARACTERS_MAX = 200
"""How much of the error the sentence has by which an instance is in quarantine."""

CHILDREN_MAX = 20
"""Children that a status names; a search by `parent` finds all."""

STANDING_STILL: tuple[Phase, ...] = ("paused", "quarantined")
"""Phases in which nothing runs until somebody says so."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that a reader may want to know of an instance, as of one event.

    Times are epoch milliseconds. `output` is the payload's bytes. `attempts` maps the
    paths that await an attempt to its number, from 1. `error_details` are of the error
    that ended the run, or of the last attempt that is to be tried again. What completed
    tasks did is undone at the paths `compensated`, and could not be at
    `not_compensated`, as far as that is known by now; at most 100 each. `version` is
    that of the workflow, `parent` the instance of which it is a child. `children` are
    its own that have not ended, as far as is known; at most 20.
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
    error_details: ErrorDetails | None = None
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()
    version: str | None = None
    parent: str | None = None
    children: tuple[str, ...] = ()


_new_status = maker(Status)


def hidden_id(node_id: str) -> str:
    """A node's id as `delay_id` and `signal_id` of a status show it: SHA-256, hex."""
    return hashlib.sha256(node_id.encode()).hexdigest()


def status_of(rows: Rows, instance_id: str, graph: Graph | None) -> Status | None:
    """The status of an instance, or None where there is no run of that id."""
    header, started, end = get_header(rows), get_run(rows), get_ending(rows)
    if header is None or started is None:
        return None
    cursors = [cursor for _, cursor in get_cursors(rows)]
    if len(cursors) > 1:
        cursors.sort(key=lambda cursor: _order(graph, cursor))
    name, cause = _name(header, cursors)
    wait = cause.wait if cause is not None else None
    failure = _failure(rows, header)
    return _new_status(
        instance_id=instance_id,
        workflow=started.workflow,
        definition_hash=started.definition_hash,
        run=header.run,
        sequence=header.sequence,
        status=name,
        waiting_for=_sentence(rows, header, cursors, graph),
        output=get_value(rows, "output") if name == "completed" else None,
        error=failure.error if failure is not None else None,
        error_type=failure.error_type if failure is not None else None,
        reason=end.reason if end is not None else None,
        requested_by=end.requested_by if end is not None else None,
        wake_at=None if wait is None else WAITS[type(wait)].wakes_at(wait),
        node_id=_node_id(graph, cause),
        signal=wait.signal if isinstance(wait, Listening) else None,
        started_at=started.started_at,
        updated_at=header.at,
        attempts={
            cursor.path: cursor.wait.attempt
            for cursor in cursors
            if isinstance(cursor.wait, Awaiting) and name not in ENDED
        },
        attributes=started.attributes,
        error_details=_error_details(header, end, cursors),
        compensated=_undone(rows, header, end, "d"),
        not_compensated=_undone(rows, header, end, "n"),
        version=started.version,
        parent=None if started.parent is None else started.parent.instance_id,
        children=_open_children(rows),
    )


def _open_children(rows: Rows) -> tuple[str, ...]:
    children = itertools.islice(rows.keys(CHILD), CHILDREN_MAX)
    return tuple(sorted([key[len(CHILD) :] for key in children]))


def _order(graph: Graph | None, cursor: Cursor) -> float:
    """Where the cursor stands in graph order; that of the whole run comes last."""
    if isinstance(cursor.wait, RunDeadline | AwaitingRunPermit):
        return math.inf
    return graph.order(cursor.path) if graph is not None else 0


def listed(status: Status) -> Status:
    """A status as lists have it: without what takes kilobytes."""
    lists = status.compensated or status.not_compensated or status.children
    if not (status.error_details or lists):
        return status
    return replace(
        status, error_details=None, compensated=(), not_compensated=(), children=()
    )


def status_name(rows: Rows) -> StatusName | None:
    """The name of an instance's status alone; None where there is no run.

    It costs less than a status, which says in words what is waited for.
    """
    header = get_header(rows)
    if header is None or header.run == 0:
        return None
    cursors = [] if has_rest(header) else [one for _, one in get_cursors(rows)]
    return name_of(header, cursors)


def has_rest(header: Header) -> bool:
    """Whether the phase alone is the status: it has ended, or stands still."""
    return header.phase in TERMINAL or header.phase in STANDING_STILL


def name_of(header: Header, cursors: list[Cursor]) -> StatusName:
    """The name of the status that a header and all cursors give."""
    return _name(header, cursors)[0]


def is_resting(rows: Rows, *, parked: bool) -> bool:
    """Whether the run has ended, or with `parked` awaits no outcome, and no child.

    It costs less than a status, which names every cursor. True where there is no run.
    """
    header = get_header(rows)
    if header is None or header.phase in TERMINAL:
        return True
    if not parked or header.phase in STANDING_STILL:
        return parked
    if header.queued or header.compensation != "none":
        return False  # it goes on without anybody
    return not any(
        isinstance(cursor.wait, Awaiting | AwaitingChild)
        for _, cursor in get_cursors(rows)
    )


ENDED: frozenset[str] = frozenset(("completed", "failed", "cancelled"))


def _failure(rows: Rows, header: Header) -> Ending | Quarantine | None:
    """What a status says of an error: why the run failed, or stands still."""
    match header.phase:
        case "failed":
            return get_ending(rows)
        case "quarantined":
            return get_quarantine(rows)
        case _ if header.compensation != "none" and header.cancel is None:
            return get_ending(rows)  # it has failed; what it did is undone first
        case _:
            return None


def _undone(
    rows: Rows, header: Header, end: Ending | None, kind: Literal["d", "n"]
) -> tuple[str, ...]:
    """What is undone by now, or could not be; when it has ended, as the end says."""
    if header.compensation == "started":
        return tuple(paths_to_undo(rows, kind)[: DEFAULT_LIMITS.interrupted_paths])
    if end is None:
        return ()
    return end.compensated if kind == "d" else end.not_compensated


def _error_details(
    header: Header, end: Ending | None, cursors: list[Cursor]
) -> ErrorDetails | None:
    """Behind the error of a failed run; while it runs, of what is to be tried again."""
    if not cursors:
        return None
    found: list[Failure] = []
    for cursor in cursors:
        match cursor.wait:
            case Broken(failure=failure):
                has_failed = header.phase == "failed" or header.compensation != "none"
                if has_failed and end and end.path == cursor.path:
                    found.append(failure)
            case Awaiting(failure=Failure() as failure):
                if header.phase not in TERMINAL:
                    found.append(failure)
            case _:
                pass
    details = found[0].details if found else NO_DETAILS
    return None if details == NO_DETAILS else details


def _name(header: Header, cursors: list[Cursor]) -> tuple[StatusName, Cursor | None]:
    match header.phase:
        case "completed" | "failed" | "cancelled" | "paused" | "quarantined":
            return header.phase, None
        case "terminated":
            return "cancelled", None
        case "running" | "unstarted":
            pass
    if header.queued:
        return "waiting", None
    by_status: dict[WaitStatus, list[Cursor]] = {}
    for cursor in cursors:
        status = WAITS[type(cursor.wait)].status
        if status == "in_progress":
            return "in_progress", None
        if status is not None:
            by_status.setdefault(status, []).append(cursor)
    if "waiting" in by_status:
        return "waiting", min(by_status["waiting"], key=_wakes_at)
    if "awaiting_signal" in by_status:
        return "awaiting_signal", by_status["awaiting_signal"][0]
    return "in_progress", None


def _wakes_at(cursor: Cursor) -> int:
    return WAITS[type(cursor.wait)].wakes_at(cursor.wait) or 0


def _node_id(graph: Graph | None, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    place = graph.place(cursor.path) if graph is not None else None
    return place.node.id if place is not None else cursor.path


def _sentence(
    rows: Rows, header: Header, cursors: list[Cursor], graph: Graph | None
) -> str:
    if header.phase in ENDED or header.phase == "terminated":
        return "nothing: it has ended"
    if header.phase == "paused":
        return "an unpause"
    quarantine = get_quarantine(rows)
    if header.phase == "quarantined" and quarantine is not None:
        text = f"{quarantine.error_type}: {quarantine.error[:ERROR_CHARACTERS_MAX]}"
        return f"a retry: {quarantine.decided_on} could not be decided, {text}"
    if header.queued:  # what else it waits for waits behind that
        cursors = [one for one in cursors if isinstance(one.wait, AwaitingRunPermit)]
    parts = [part for part in (_part(cursor, graph) for cursor in cursors) if part]
    if len(parts) > PARTS_MAX:
        parts[PARTS_MAX:] = [f"{len(parts) - PARTS_MAX} more"]
    text = "; ".join(parts) or "its next move"
    if header.compensation == "started":
        what = "failure" if header.cancel is None else "cancel"
        text = f"undoing what was done before the {what}: {text}"
    elif header.compensation == "requested":
        text = f"the end of what runs, to undo what was done before the failure: {text}"
    elif header.cancel is not None:
        text = f"the end of what runs, to be cancelled: {text}"
    elif header.pause is not None:
        text = f"the end of what runs, to be paused: {text}"
    return text


def _part(cursor: Cursor, graph: Graph | None) -> str:
    place = graph.place(cursor.path) if graph is not None else None
    node = place.node if place is not None else None
    return WAITS[type(cursor.wait)].sentence(cursor, cursor.wait, node)

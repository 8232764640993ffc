"""What the events of a run do: start, end, requests, pause, and the ids remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.evolve.migration import fold_migrated
from sayiir_es.core.evolve.permits import without_permits
from sayiir_es.core.evolve.run_permits import without_run_permit
from sayiir_es.core.model.child_records import Parent
from sayiir_es.core.model.child_rows import (
    COPIED,
    REPORTED_BY,
    end_rows,
    is_copy,
    report_of,
)
from sayiir_es.core.model.events import (
    CancelRequested,
    CommandAcknowledged,
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
    CommandsLost,
    Event,
    InstanceQuarantined,
    InstanceReleased,
    OutcomeRejected,
    PartitionClaimed,
    PauseRequested,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowForked,
    WorkflowMigrated,
    WorkflowPaused,
    WorkflowRetried,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowUnpaused,
)
from sayiir_es.core.model.headers import (
    header_after,
    remember_command,
    terminal_header,
)
from sayiir_es.core.model.rows import (
    Changes,
    Cursor,
    Ending,
    Header,
    Quarantine,
    Request,
    Rows,
    Run,
    chain_of,
    get_cursor,
    get_cursors,
    get_ending,
    get_quarantine,
    get_run,
)
from sayiir_es.core.model.run_permit_events import QUEUE_FULL
from sayiir_es.core.model.undo_rows import has_undoable
from sayiir_es.core.model.waits import Broken, has_a_result
from sayiir_es.core.nodes import loop, start_child, task
from sayiir_es.core.nodes.compensation import due_once_more
from sayiir_es.core.nodes.kinds import EventKind
from sayiir_es.core.nodes.run_deadline import set_deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body


def fold_started(
    rows: Rows, event: Event, body: WorkflowStarted, header: Header
) -> Changes:
    """A new run: rows of the run before it go, but for the ids remembered.

    And for what is still to be sent to others. A fork's run is nobody's child.
    """
    changes: Changes = {}
    if header.run > 0:
        for prefix in "cvbelxyaqtzoudn":
            for key in rows.keys(prefix):
                changes[key] = None
    changes |= set_deadline(rows, body.deadline_at)
    attributes: Mapping[str, str] = dict(body.attributes)
    changes["vstart"] = body.input
    parent: Parent | None = None
    if body.parent is not None and not is_copy(rows, event):
        parent = Parent(
            instance_id=body.parent, run=body.parent_run, path=body.parent_path
        )
    if parent is not None and body.parent_secret:
        changes[REPORTED_BY] = body.parent_secret
    elif header.run > 0:
        changes[REPORTED_BY] = None
    changes["r"] = Run(
        workflow=body.workflow,
        definition_hash=body.definition_hash,
        graph_digest=body.graph_digest,
        attributes=attributes,
        started_at=event.at,
        lineage=event.run,
        version=body.version,
        traceparent=body.traceparent,
        parent=parent,
    )
    changes["h"] = Header(
        run=event.run,
        sequence=event.sequence,
        at=event.at,
        phase="running",
        buffered=header.buffered if header.run == 0 else 0,
        command_ids=remember_command(rows, event, body.command_id, changes, header),
        signal_ids=header.signal_ids,
    )
    return changes


def fold_completed(
    rows: Rows, event: Event, body: WorkflowCompleted, header: Header
) -> Changes:
    """The run ended; its output is a value like any other, its cursors go."""
    changes: Changes = dict.fromkeys(rows.keys("c"))
    changes.update(_kept_for_undo(rows))
    changes["voutput"] = body.output
    report = report_of(rows, get_run(rows), header, "completed", output=body.output)
    changes.update(end_rows(rows, header, report))
    changes.update(without_run_permit(rows))
    changes["h"] = terminal_header(header, event, "completed")
    return changes


def _kept_for_undo(rows: Rows) -> Changes:
    """What was kept so that it could be undone: the run has completed."""
    changes: Changes = {}
    if not has_undoable(rows):
        return changes
    for key in rows.keys("o"):
        changes[key] = None
        path, mark, iteration = key[1:].rpartition("@")
        if mark and iteration.isdecimal():
            changes.update(loop.rows_of_iteration(rows, path, int(iteration)))
    changes.update(dict.fromkeys(rows.keys("u")))
    return changes


def fold_failed(
    rows: Rows, event: Event, body: WorkflowFailed, header: Header
) -> Changes:
    """The run failed; its cursors stay, so that a retry can open them again."""
    failed = (body.error_type, body.error, _bases_at(rows, body.path))
    report = report_of(rows, get_run(rows), header, "failed", failed=failed)
    return {
        **end_rows(rows, header, report),
        **without_run_permit(rows, refused=body.error_type == QUEUE_FULL),
        "e": Ending(
            path=body.path,
            error_type=body.error_type,
            error=body.error,
            compensated=body.compensated,
            not_compensated=body.not_compensated,
        ),
        "h": terminal_header(header, event, "failed"),
    }


def _bases_at(rows: Rows, path: str) -> tuple[str, ...]:
    """The names of the class and the bases of the error at a path, where known."""
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None or cursor.path != path or not isinstance(cursor.wait, Broken):
        return ()
    return cursor.wait.failure.bases


def fold_cancelled(
    rows: Rows, event: Event, body: WorkflowCancelled, header: Header
) -> Changes:
    """The run was cancelled where it stood."""
    text = f"Workflow was cancelled: {body.reason}" if body.reason else ""
    report = report_of(
        rows, get_run(rows), header, "cancelled", failed=("cancelled", text, ())
    )
    changes: Changes = {
        **end_rows(rows, header, report),
        **without_run_permit(rows),
        "e": Ending(
            reason=body.reason,
            requested_by=body.requested_by,
            interrupted_at=body.interrupted_at,
            compensated=body.compensated,
            not_compensated=body.not_compensated,
        ),
        "h": terminal_header(header, event, "cancelled"),
    }
    if header.phase == "quarantined":
        changes["z"] = None
    return changes


def fold_terminated(
    rows: Rows, event: Event, body: WorkflowTerminated, header: Header
) -> Changes:
    """The run gave way to another start."""
    report = report_of(
        rows, get_run(rows), header, "terminated", failed=("terminated", "", ())
    )
    return {
        **end_rows(rows, header, report),
        **without_run_permit(rows),
        "e": Ending(reason=body.reason),
        "h": terminal_header(header, event, "terminated"),
    }


def fold_retried(
    rows: Rows, event: Event, body: WorkflowRetried, header: Header
) -> Changes:
    """The next run stands where the failed one stood; what failed is due again.

    What is inside a failed loop goes: it opens again from its first iteration. One that
    has ended keeps its value: what follows it has failed. An input in the event takes
    the place of that of the node that failed.

    Where what its tasks did was undone, nothing of it is due again but the
    compensations that could not undo.
    """
    to_undo = due_once_more(rows)
    if to_undo:
        to_undo["h"] = replace(
            header_after(header, event, phase="running", compensation="started"),
            command_ids=remember_command(rows, event, body.command_id, to_undo, header),
        )
        return to_undo
    failed, inside = get_ending(rows), "@"
    if failed is not None:
        cursor = get_cursor(rows, chain_of(failed.path))
        stands_there = cursor is not None and cursor.path == failed.path
        if not (cursor and stands_there and has_a_result(cursor.wait)):
            inside = f"{failed.path}@"
    changes = loop.rows_inside(rows, inside)
    for chain, cursor in get_cursors(rows):
        if not chain.startswith(inside):
            again = start_child.due_again(rows, cursor)
            changes["c" + chain] = again or task.due_again(cursor, event)
    if body.input is not None and failed is not None:
        changes |= _with_input(rows, changes, failed.path, event.sequence, body.input)
    changes |= set_deadline(rows, body.deadline_at)
    changes["e"] = None
    changes["h"] = replace(
        header_after(header, event, phase="running"),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def _with_input(
    rows: Rows, changes: Changes, path: str, sequence: int, data: bytes
) -> Changes:
    """The node at which the run failed gets another input."""
    key, reference = "c" + chain_of(path), f"retried:{sequence}"
    cursor = changes.get(key, rows.get(key))
    if not isinstance(cursor, Cursor):
        return {}
    changed = Cursor(path=cursor.path, input=reference, wait=cursor.wait)
    return {key: changed, "v" + reference: data}


def fold_forked(
    rows: Rows, event: Event, body: WorkflowForked, header: Header
) -> Changes:
    """An instance begins with another's history, whose events come next.

    Its own command's id is kept apart: the ids of those may displace it at once.
    """
    changes: Changes = {}
    if event.sequence == 1:
        changes["f"] = body.command_id
        changes[COPIED] = event.sequence + body.source_sequence
    changes["h"] = replace(
        header_after(header, event),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def fold_request(
    rows: Rows,
    event: Event,
    body: CancelRequested | PauseRequested | WorkflowUnpaused,
    header: Header,
) -> Changes:
    """A request is noted, or an unpause takes one back."""
    changes: Changes = {}
    request = Request(reason=body.reason, requested_by=body.requested_by)
    cancel, pause, unpaused = header.cancel, header.pause, header.unpaused
    phase, compensation = header.phase, header.compensation
    if isinstance(body, CancelRequested):
        cancel = request
        if phase == "quarantined":  # what stands still there is not undone any more
            compensation = "none"
    elif isinstance(body, PauseRequested):
        pause = request
    else:
        pause, unpaused, phase = None, event.sequence, "running"
        changes["e"] = None
    changes["h"] = replace(
        header_after(header, event, phase=phase),
        cancel=cancel,
        pause=pause,
        unpaused=unpaused,
        compensation=compensation,
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def fold_paused(
    rows: Rows, event: Event, body: WorkflowPaused, header: Header
) -> Changes:
    """Nothing runs any more; an attempt that has a permit loses it."""
    return {
        **without_permits(rows),
        "e": Ending(reason=body.reason, requested_by=body.requested_by),
        "h": header_after(header, event, phase="paused"),
    }


def fold_quarantined(
    _rows: Rows, event: Event, body: InstanceQuarantined, header: Header
) -> Changes:
    """It stands still: where, its cursors still say."""
    return {
        "z": Quarantine(
            error_type=body.error_type,
            error=body.error,
            decided_on=body.decided_on,
            phase=header.phase,
        ),
        "h": header_after(header, event, phase="quarantined"),
    }


def fold_released(
    rows: Rows, event: Event, body: InstanceReleased, header: Header
) -> Changes:
    """It goes on in the phase that it was in; attempts are due with all their time."""
    quarantine = get_quarantine(rows)
    changes: Changes = {
        "c" + chain: task.due_with_all_its_time(cursor, event)
        for chain, cursor in get_cursors(rows)
    }
    changes |= set_deadline(rows, body.deadline_at)
    changes["z"] = None
    changes["h"] = replace(
        header_after(
            header, event, phase=quarantine.phase if quarantine else header.phase
        ),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def fold_outcome_rejected(
    _rows: Rows, event: Event, _body: OutcomeRejected, header: Header
) -> Changes:
    """Its run is the token's, which may be one that ended long ago."""
    return {"h": replace(header_after(header, event), run=header.run)}


def fold_answer(_rows: Rows, _event: Event, _body: Body, _header: Header) -> Changes:
    """An answer that changes nothing counts as an event, as every one does."""
    return {}


def fold_of_partition(
    _rows: Rows, _event: Event, _body: Body, _header: Header
) -> Changes:
    """Of the partition: it has no sequence, and none in an instance to change."""
    return {}


RUN_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for kind in (
        EventKind(event=WorkflowStarted, fold=fold_started),
        EventKind(event=WorkflowCompleted, fold=fold_completed),
        EventKind(event=WorkflowFailed, fold=fold_failed),
        EventKind(event=WorkflowCancelled, fold=fold_cancelled),
        EventKind(event=WorkflowTerminated, fold=fold_terminated),
        EventKind(event=WorkflowRetried, fold=fold_retried),
        EventKind(event=WorkflowForked, fold=fold_forked),
        EventKind(event=WorkflowMigrated, fold=fold_migrated),
        EventKind(event=WorkflowPaused, fold=fold_paused),
        EventKind(event=InstanceQuarantined, fold=fold_quarantined),
        EventKind(event=InstanceReleased, fold=fold_released),
        EventKind(event=CancelRequested, fold=fold_request),
        EventKind(event=PauseRequested, fold=fold_request),
        EventKind(event=WorkflowUnpaused, fold=fold_request),
        EventKind(event=OutcomeRejected, fold=fold_outcome_rejected),
        EventKind(event=CommandRejected, fold=fold_answer),
        EventKind(
            event=CommandAcknowledged, fold=fold_answer, sequences=("answered_by",)
        ),
        EventKind(event=PartitionClaimed, fold=fold_of_partition),
        EventKind(event=CommandForwarded, fold=fold_of_partition),
        EventKind(event=CommandDeadLettered, fold=fold_of_partition),
        EventKind(event=CommandDeferred, fold=fold_of_partition),
        EventKind(event=CommandsLost, fold=fold_of_partition),
    )
}
"""The kinds of event that are no construct's. Each is checked where it is made."""

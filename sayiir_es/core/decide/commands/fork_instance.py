"""A new instance from any point of an old one: its history is recorded again.

Theory of operation. `WorkflowForked` is the first event of the new instance. The events
of the source follow in the same decision, as they are, each with its sequence + 1; a
sequence that one of them names is one higher too. So the new instance folds like any
other, and its readers need nothing of the source. Their time is now; the times that
they carry (a retry, a delay, a deadline) stay: what is in the past comes due at once.

An attempt of the source is none of the new instance: nobody here runs it. One that had
begun is withdrawn, so that it is owed afresh, with all of its time. What the source had
not done yet at that point is owed as after any cut, whatever state it was in. Only what
an owner never cuts apart is decided here: the first node of a start, what a failure
does, the node that a retry opens again.

The source's history is in the log, maybe on another partition, and reading it may take
long. So a fork is decided on twice: at its turn it is refused if what is known by then
is enough for it, else put off (`CommandDeferred`); it is answered when its source was
read. Commands behind it are decided meanwhile: the order of decisions is that of the
answers, and the first one that makes the new instance wins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.commands.retry import open_first, reopen
from sayiir_es.core.decide.owed import is_requested, is_stopping, owed_moves
from sayiir_es.core.decide.rejections import reject
from sayiir_es.core.decide.start_queue import ask_run_permit
from sayiir_es.core.draft import Draft, of_partition
from sayiir_es.core.evolve.evolve import EVENTS
from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.model.events import (
    CommandDeferred,
    DeadlineCleared,
    OutcomeRejected,
    SignalTimedOut,
    WorkflowFailed,
    WorkflowForked,
    WorkflowMigrated,
    WorkflowRetried,
    WorkflowStarted,
)
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.rows import TERMINAL, get_cursors
from sayiir_es.core.model.waits import Awaiting, Broken
from sayiir_es.core.nodes import signal, task
from sayiir_es.core.nodes.failure import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.model.commands import ForkWorkflow
    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.inputs import Commanded, SourceHistory

BY_SEQUENCE = ("signal:", "retried:")
"""How references begin that name an event by its sequence."""


def fork_instance(
    basis: Basis, command: ForkWorkflow, source: SourceHistory
) -> Decision:
    """Answer a fork: record again what the log holds of the source."""
    wrong = _wrong_source(basis, command, source)
    if wrong is not None:
        return reject(basis, command, *wrong)
    started = _started(source.events)
    by_digest = basis.context.definitions.by_digest
    graph = by_digest(started.graph_digest) if started else None  # of its last event
    if started is None or graph is None:
        return reject(basis, command, *_without_graph(command, started))
    draft = Draft(basis, graph)
    draft.emit(
        WorkflowForked(
            command_id=command.command_id,
            source_instance_id=command.source_instance_id,
            source_run=_run_of(source.events),
            source_sequence=command.source_sequence,
        )
    )
    for event in source.events:
        draft.emit(one_later(event.body), run=event.run)
    _go_on(draft, source.events)
    return draft.decision()


def defer_fork(basis: Basis, commanded: Commanded, command: ForkWorkflow) -> Decision:
    """Put a fork off until its source is read, unless it is refused as it stands."""
    wrong = _refused_unread(basis, commanded, command)
    if wrong is not None:
        return reject(basis, command, *wrong)
    return of_partition(
        basis,
        CommandDeferred(
            command=type(command).__name__,
            command_id=command.command_id,
            deferred_instance_id=command.instance_id,
            source_instance_id=command.source_instance_id,
            source_sequence=command.source_sequence,
        ),
    )


def _refused_unread(
    basis: Basis, commanded: Commanded, command: ForkWorkflow
) -> tuple[str, str] | None:
    """What is wrong whatever the log holds of the source."""
    if basis.header.sequence:
        return _existing(command)
    last, limit = commanded.source_last, basis.context.limits.deferred_commands
    if last is not None and last < command.source_sequence:
        return _without_event(command, last)
    if commanded.deferred >= limit:
        message = (
            f"expected at most {limit} forks that wait for their source to be read, "
            "but they are as many already; send it again later"
        )
        return "busy", message
    return None


def _existing(command: ForkWorkflow) -> tuple[str, str]:
    return (
        "already_exists",
        f"expected no instance {command.instance_id!r}, but it exists",
    )


def _without_event(command: ForkWorkflow, last: int) -> tuple[str, str]:
    seen = f"the last has {last}" if last else "there is none"
    message = (
        f"expected an event of {command.source_instance_id!r} with sequence "
        f"{command.source_sequence}, but {seen}"
    )
    return "not_found", message


def _wrong_source(
    basis: Basis, command: ForkWorkflow, source: SourceHistory
) -> tuple[str, str] | None:
    if basis.header.sequence:
        return _existing(command)
    limit = basis.context.limits.copied_bytes
    if source.size > limit:
        return (
            "too_large",
            f"expected a history of at most {limit} bytes, but {source.size} bytes",
        )
    if source.unreadable:
        message = (
            f"expected a readable history of {command.source_instance_id!r}, but "
            f"{source.unreadable}"
        )
        return source.rejection, clip(message, basis.context.limits.error_bytes)
    if len(source.events) < command.source_sequence:
        return _without_event(command, len(source.events))
    return None


def _without_graph(
    command: ForkWorkflow, started: WorkflowStarted | WorkflowMigrated | None
) -> tuple[str, str]:
    if started is None:
        return (
            "not_found",
            f"expected a run at {command.source_sequence}, but it starts later",
        )
    return (
        "unknown_workflow",
        f"expected the published graph {started.graph_digest[:16]}…, but there is none",
    )


def _started(events: Sequence[Event]) -> WorkflowStarted | WorkflowMigrated | None:
    """What said last which graph a run goes on with."""
    for event in reversed(events):
        if isinstance(event.body, WorkflowStarted | WorkflowMigrated):
            return event.body
    return None


def _run_of(events: Sequence[Event]) -> int:
    """The run in which they end; a rejected outcome says that of its token."""
    return max(e.run for e in events if not isinstance(e.body, OutcomeRejected))


# --- what is recorded again -----------------------------------------------------------


def one_later(body: Body) -> Body:
    """The same behind one more event: every sequence that it names is one higher."""
    kind = EVENTS[type(body)]
    later: dict[str, Any] = {}  # by names of fields, of whatever type they are
    for name in kind.references:
        later[name] = _reference(getattr(body, name))
    for name in kind.sequences:
        sequence: int = getattr(body, name)
        later[name] = sequence + 1 if sequence else 0
    return replace(body, **later) if later else body


def _reference(reference: str) -> str:
    if not reference.startswith(BY_SEQUENCE):
        return reference
    what, _, sequence = reference.partition(":")
    return f"{what}:{int(sequence) + 1}"


# --- what follows ---------------------------------------------------------------------


def _go_on(draft: Draft, events: Sequence[Event]) -> None:
    last = events[-1].body
    if draft.header.phase == "paused":
        _ask(draft)
    if draft.header.phase != "running":
        return  # what had ended, or paused, has here
    if _fails(draft, last):
        return
    if isinstance(last, WorkflowRetried) and draft.header.compensation == "none":
        reopen(draft, _failed_at(events))
    if not _ask(draft):
        open_first(draft)
    if draft.header.phase in TERMINAL:
        return
    _take_back(draft)
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)


def _ask(draft: Draft) -> bool:
    """Let it wait for a permit of its own; what stops, or is undone, needs none."""
    if draft.header.cancel is not None or draft.header.compensation != "none":
        return False
    return ask_run_permit(draft, is_bounded=False)


def _fails(draft: Draft, last: Body) -> bool:
    """Go on at once where a node failed with the last copy; whether the run fails."""
    if draft.header.compensation != "none":
        return False  # that was recorded; `owed_moves` knows what follows
    if isinstance(last, SignalTimedOut) and not last.error:  # of the first version
        failure = signal.failure_at(draft, last.path)
        if failure is not None:
            fail(draft, last.path, failure)
    for _, cursor in get_cursors(draft.rows):
        if isinstance(cursor.wait, Broken) and not is_stopping(draft.header):
            fail(draft, cursor.path, cursor.wait.failure)
            break
    return draft.header.phase in TERMINAL


def _failed_at(events: Sequence[Event]) -> str:
    """Where the run failed, by the paths of the graph that it goes on with."""
    path = ""
    for event in events:
        if isinstance(event.body, WorkflowFailed):
            path = event.body.path
        elif isinstance(event.body, WorkflowMigrated):
            path = PathMapping(event.body.mapping).path(path)
    return path


def _take_back(draft: Draft) -> None:
    """Take attempts back that had begun; where nothing may begin, all that run."""
    header, graph = draft.header, draft.graph
    awaited = sorted(
        (
            not task.is_withdrawn(header, cursor.wait),
            graph.order(cursor.path),
            cursor.path,
        )
        for _, cursor in get_cursors(draft.rows)
        if isinstance(cursor.wait, Awaiting)
    )
    for _, _, path in awaited:
        wait = task.awaiting(draft.rows, path)
        assert wait is not None
        if task.is_withdrawn(header, wait):
            if wait.deadline_at is not None:  # between the two events of the source
                draft.emit(DeadlineCleared(path=path, attempt=wait.attempt))
        elif wait.deadline_at is not None or (
            is_requested(header) and task.is_running(header, wait, draft.now_ms)
        ):
            task.withdraw(draft, path)

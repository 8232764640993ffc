"""What is decided on starts that are debounced: of a burst the last one starts.

Theory of operation. A start that comes while another waits takes its place, and the
quiet time begins anew, but for a bound. When it is over the start is owed by a row; the
outbox sends it, with the id of the command that it came by, so that its instance knows
it however often it is sent (decision 017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.basis import basis_of
from sayiir_es.core.decide.rejections import reject
from sayiir_es.core.draft import nothing, record
from sayiir_es.core.duration import MAX_MS
from sayiir_es.core.evolve.debounce import get_pending, get_start
from sayiir_es.core.model.commands import (
    CONFLICT_POLICIES,
    DebounceStart,
    StartWorkflow,
)
from sayiir_es.core.model.debounce_events import (
    START_PREFIX,
    DebouncedStartSent,
    DebounceElapsed,
    StartDebounced,
    is_debounce,
)
from sayiir_es.core.model.permit_events import is_limit
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.model.waits import Debouncing

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.model.commands import Command, ConflictPolicy
    from sayiir_es.core.model.inputs import MessageSent, TimerDue
    from sayiir_es.core.model.rows import Cursor, DebouncedStart, Rows


def wrong_address(command: Command) -> str | None:
    """Why a command may not be sent to its id; None if it may."""
    is_to_debounce = isinstance(command, DebounceStart)
    if is_to_debounce == is_debounce(command.instance_id):
        return None
    wanted = "$debounce/ and a key" if is_to_debounce else "the id of an instance"
    return f"expected {wanted}, but {command.instance_id!r}"


def debounce(basis: Basis, command: DebounceStart, traceparent: str | None) -> Decision:
    """Answer a start that is to wait for a quiet time."""
    wrong = _wrong(basis, command)
    if wrong is not None:
        return reject(basis, command, *wrong)
    now_ms, before = basis.context.now_ms, get_pending(basis.rows)
    first_at = now_ms if before is None else before.first_at
    due_at = now_ms + command.quiet_ms
    if command.max_ms is not None:
        due_at = max(min(due_at, first_at + command.max_ms), now_ms)
    return record(
        basis,
        StartDebounced(
            command_id=command.command_id,
            start_id=command.start_id,
            workflow=command.workflow,
            input=command.input,
            first_at=first_at,
            due_at=due_at,
            replaced=None if before is None else before.start_id,
            definition_hash=command.definition_hash,
            conflict_policy=command.conflict_policy,
            attributes=dict(command.attributes),
            version=command.version,
            traceparent=traceparent,
        ),
    )


def _wrong(basis: Basis, command: DebounceStart) -> tuple[str, str] | None:
    start_id, quiet_ms, max_ms = command.start_id, command.quiet_ms, command.max_ms
    if is_debounce(start_id) or is_queue(start_id) or is_limit(start_id):
        return "bad_request", f"expected the id of an instance, but {start_id!r}"
    if not 0 < quiet_ms <= MAX_MS or not 0 < (max_ms or 1) <= MAX_MS:
        return (
            "bad_request",
            (
                f"expected a quiet_ms and a max_ms of 1 to {MAX_MS}, but {quiet_ms} "
                f"and {max_ms}"
            ),
        )
    graph = basis.context.definitions.by_name(
        command.workflow, command.definition_hash, command.version
    )
    if graph is None:
        return (
            "unknown_workflow",
            f"expected a published workflow {command.workflow!r}, but there is none",
        )
    return None


def elapse(
    timer: TimerDue, cursor: Cursor, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """The quiet time may be over: then the start that waits is owed."""
    wait, pending = cursor.wait, get_pending(rows)
    if (
        pending is None
        or not isinstance(wait, Debouncing)
        or wait.due_at != timer.due_at
    ):
        return nothing(timer.instance_id)
    cause = f"timer:@{timer.due_at}"
    basis = basis_of(timer.instance_id, cause, rows, context, room)
    return record(basis, DebounceElapsed(start_id=pending.start_id))


def command_of(start: DebouncedStart) -> StartWorkflow:
    """The start that a row owes; the same one whenever it is sent again."""
    return StartWorkflow(
        instance_id=start.start_id,
        command_id=start.command_id,
        workflow=start.workflow,
        input=start.input,
        definition_hash=start.definition_hash,
        conflict_policy=_policy_of(start.conflict_policy),
        attributes=start.attributes,
        traceparent=start.traceparent,
        version=start.version,
    )


def _policy_of(policy: str) -> ConflictPolicy:
    return next(one for one in CONFLICT_POLICIES if one == policy)


def record_sent(basis: Basis, sent: MessageSent) -> Decision:
    """The log has the start: it is owed no more."""
    start = get_start(basis.rows, sent.name)
    if start is None:
        return nothing(sent.instance_id)
    elapsed = int(sent.name.removeprefix(START_PREFIX))
    return record(basis, DebouncedStartSent(start_id=start.start_id, elapsed=elapsed))

"""Quarantine: an instance whose decision raised an error stands still until a retry.

Theory of operation. Nobody foresaw the error, so nothing of the decision is kept: who
makes decisions drops what was staged and decides on a `DecisionFailed` instead. From
`InstanceQuarantined` on nothing of the instance runs, and no timer of it fires; a phase
of its own says so, which every decider asks for. `InstanceReleased` gives it back the
phase that it was in, as the next run: what was owed is owed, and what raised may raise
again. When a command raised, that command alone is answered, and rejected: `internal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide.advance import TOO_LARGE, advance
from sayiir_es.core.decide.basis import basis_of, draft_in_run
from sayiir_es.core.decide.owed import is_stopping, owed_moves
from sayiir_es.core.decide.rejections import reject, reject_start
from sayiir_es.core.draft import EventTooLargeError, Recorder, nothing
from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.model.errors import BatchTooLargeError
from sayiir_es.core.model.events import InstanceQuarantined, InstanceReleased
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import (
    Commanded,
    DecisionFailed,
    MessageSent,
    Outcome,
    PermitReturnSent,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.limits import clip
from sayiir_es.core.nodes.run_deadline import deadline_of

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.model.commands import RetryWorkflow
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Rows


def quarantine(
    failed: DecisionFailed, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Quarantine an instance, unless it has ended or stands still already."""
    header = header_of(rows)
    if header.phase not in ("running", "paused"):
        return nothing(failed.instance_id)
    limits = context.limits
    quarantined = InstanceQuarantined(
        error_type=clip(failed.error_type, limits.id_bytes),
        error=clip(failed.error, limits.error_bytes),
        decided_on=clip(failed.decided_on, limits.error_bytes),
    )
    cause = clip(failed.cause or f"owed:{header.sequence}", limits.error_bytes)
    basis = basis_of(failed.instance_id, cause, rows, context, room)
    recorder = Recorder(basis)
    recorder.emit(quarantined)
    # Nothing runs any more, so a cancel that was requested applies: in a decision of
    # its own, for what raised may raise there, too.
    recorder.cut = header.cancel is not None and is_stopping(header)
    return recorder.decision()


def release(basis: Basis, command: RetryWorkflow) -> Decision:
    """Answer a retry of an instance in quarantine: it goes on where it stood."""
    draft = draft_in_run(basis)
    # A next run: what a thread of before may still report counts for nothing.
    draft.emit(
        InstanceReleased(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
            # One that has failed, and is undone, has no end of its time.
            deadline_at=(
                deadline_of(draft.graph, draft.now_ms)
                if basis.header.compensation == "none"
                else None
            ),
        ),
        run=basis.header.run + 1,
    )
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)
    return draft.decision()


def on_error(
    input_: Input, error: Exception, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """The decision instead of one that raised an error."""
    error_type, limits = type(error).__name__, context.limits
    if isinstance(input_, Commanded):
        command = input_.command
        fits = 0 < len(command.instance_id.encode()) <= limits.id_bytes
        instance_id = command.instance_id if fits else ""
        basis = basis_of(instance_id, input_.position.cause(), rows, context, room)
        if isinstance(error, BatchTooLargeError | EventTooLargeError):
            text = clip(str(error), limits.error_bytes)
            if isinstance(command, StartWorkflow):
                return reject_start(basis, command, TOO_LARGE, text)
            return reject(basis, command, TOO_LARGE, text)
        text = f"expected to decide on it, but {error_type}: {error}"
        text = clip(text, limits.error_bytes)
        if isinstance(command, StartWorkflow):
            return reject_start(basis, command, "internal", text)
        return reject(basis, command, "internal", text)
    cause, decided_on = _names_of(input_, context)
    failed = DecisionFailed(
        instance_id=input_.instance_id,
        cause=cause,
        decided_on=decided_on,
        error_type=error_type,
        error=str(error),
    )
    return quarantine(failed, rows, context, room)


def _names_of(
    input_: Outcome
    | TimerDue
    | SlotTaken
    | TakenOver
    | MessageSent
    | PermitReturnSent
    | ResumeCut
    | DecisionFailed,
    context: DecisionContext,
) -> tuple[str, str]:
    """The cause of a decision that raised, and what it decided on, in words."""
    match input_:
        case Outcome():
            cause = f"outcome:{input_.path}#{input_.attempt}"
            return cause, f"the outcome of {input_.path!r}, attempt {input_.attempt}"
        case TimerDue():
            return "", f"a timer in chain {input_.chain!r}, due at {input_.due_at}"
        case SlotTaken():
            return "", f"the start of {input_.path!r}, attempt {input_.attempt}"
        case TakenOver():
            return f"takeover:{context.claim}", "a take-over"
        case MessageSent():
            what = "message" if input_.what == "run_permit" else input_.what
            return "", f"the {what} of {input_.name!r} that was sent"
        case ResumeCut():
            return "", "the rest of a decision"
        case DecisionFailed():
            return input_.cause, input_.decided_on
        case PermitReturnSent():
            return "", f"the return of a permit of {input_.key!r}"
        case _:
            assert_never(input_)

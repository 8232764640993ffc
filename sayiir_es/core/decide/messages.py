"""Commands that an instance owes to others, and what their sending means to it.

Each is made of rows alone: a new owner makes the same one, with the same command id.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide import debounce
from sayiir_es.core.decide.advance import TOO_LARGE, advance
from sayiir_es.core.decide.basis import basis_of, draft_in_run
from sayiir_es.core.decide.start_queue import record_sent
from sayiir_es.core.draft import nothing, record
from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceEnded,
    ChildInstanceSent,
)
from sayiir_es.core.model.child_records import CHILD_ENDS
from sayiir_es.core.model.child_rows import get_child, get_report, is_to_cancel
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    RecordChildEnd,
    StartWorkflow,
)
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.rows import TERMINAL, chain_of

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.model.child_records import ChildEnd, EndReport, OpenChild
    from sayiir_es.core.model.inputs import MessageSent
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.core.model.rows import Rows

_STANDS_STILL = TERMINAL | {"quarantined"}


# --- the commands ---------------------------------------------------------------------


def start_command(
    parent_id: str, child_id: str, child: OpenChild, traceparent: str | None
) -> StartWorkflow:
    """The start of a child; one that nobody is to hear of brings no secret."""
    is_reported = child.waits or child.on_parent_end == "cancel"
    return StartWorkflow(
        instance_id=child_id,
        command_id=_command_id("start", child.secret),
        workflow=child.workflow,
        input=child.input or b"null",
        attributes={},
        traceparent=traceparent,
        version=child.version,
        parent=parent_id,
        parent_run=child.run,
        parent_path=child.path,
        parent_secret=child.secret if is_reported else "",
    )


def cancel_command(parent_id: str, child_id: str, child: OpenChild) -> CancelWorkflow:
    """The cancel of a child whose parent's run has ended."""
    return CancelWorkflow(
        instance_id=child_id,
        command_id=_command_id("cancel", child.secret),
        reason="parent_ended",
        requested_by=f"instance {parent_id}",
    )


def end_command(child_id: str, report: EndReport, limits: Limits) -> RecordChildEnd:
    """What a parent is told; an output that no command may bring is a failure."""
    end, output = _end_of(report.end), report.output
    error_type, error = report.error_type, report.error
    if output is not None and len(output) > limits.payload_bytes:
        end, error_type = "failed", TOO_LARGE
        error = (
            f"expected an output of at most {limits.payload_bytes} bytes of child "
            f"{child_id!r}, but {len(output)} bytes"
        )
        output = None
    return RecordChildEnd(
        instance_id=report.parent.instance_id,
        command_id=_command_id("end", report.secret),
        run=report.parent.run,
        path=report.parent.path,
        child_id=child_id,
        child_run=report.child_run,
        end=end,
        secret=report.secret,
        output=output,
        error_type=error_type,
        error=clip(error, limits.error_bytes),
        error_bases=report.error_bases,
    )


def _end_of(end: str) -> ChildEnd:
    return next(one for one in CHILD_ENDS if one == end)


def _command_id(what: str, secret: str) -> str:
    """The same whenever it is sent again; no secret can be told from it."""
    digest = hashlib.sha256(f"{what}:{secret}".encode()).hexdigest()
    return f"child-{what}-{digest[:32]}"


# --- decide ---------------------------------------------------------------------------


def handle_sent(
    sent: MessageSent, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Record that a message is in the log, if it is still the one that is owed."""
    cause = f"owed:{header_of(rows).sequence}"
    basis = basis_of(sent.instance_id, cause, rows, context, room)
    match sent.what:
        case "start":
            child = get_child(rows, sent.name)
            if child is None or child.input is None or child.secret != sent.secret:
                return nothing(sent.instance_id)
            if sent.refused:
                return _never_started(basis, sent, child)
            return record(basis, ChildInstanceSent(path=child.path, child_id=sent.name))
        case "cancel":
            child = get_child(rows, sent.name)
            if (
                child is None
                or child.secret != sent.secret
                or not is_to_cancel(rows, child)
            ):
                return nothing(sent.instance_id)
            return record(basis, ChildCancelSent(path=child.path, child_id=sent.name))
        case "end":
            report = get_report(rows, sent.name)
            if report is None or report.secret != sent.secret:
                return nothing(sent.instance_id)
            reported = ChildEndReported(
                parent=report.parent.instance_id,
                parent_path=report.parent.path,
                child_run=report.child_run,
            )
            return record(basis, reported)
        case "run_permit":
            return record_sent(basis, sent)
        case "debounced":
            return debounce.record_sent(basis, sent)
        case _:
            assert_never(sent.what)


def _never_started(basis: Basis, sent: MessageSent, child: OpenChild) -> Decision:
    """The log takes no such start: the child has failed before it began."""
    ended = ChildInstanceEnded(
        command_id="",
        path=child.path,
        child_id=sent.name,
        child_run=0,
        end="failed",
        error_type=TOO_LARGE,
        error=clip(sent.refused, basis.context.limits.error_bytes),
    )
    return record_end(basis, ended)


def record_end(basis: Basis, ended: ChildInstanceEnded) -> Decision:
    """Record the end of a child; what waited for it goes on, unless the run ended."""
    if basis.header.phase in _STANDS_STILL:
        return record(basis, ended)
    draft = draft_in_run(basis)
    draft.emit(ended)
    draft.touched.append(chain_of(ended.path))
    advance(draft)
    return draft.decision()


def is_secret_of(child: OpenChild | None, secret: str) -> bool:
    """Whether whoever reports a child's end was told so by its start."""
    if child is None:
        return False
    return hmac.compare_digest(child.secret.encode(), secret.encode("utf-8", "replace"))

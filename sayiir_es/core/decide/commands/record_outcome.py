"""`RecordOutcome`: what an executor elsewhere says that its attempt ended with.

Anybody may write a command, and guess run, path and attempt. So an outcome counts only
with the secret that was handed out with the attempt; the log holds its hash. Where the
attempt is not awaited any more, or was handed out again, the outcome is rejected as
every late or second one is; nothing is proved by that, and nothing changes.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.decide.attempts import (
    record_outcome,
    reject_outcome,
    why_not_due,
)
from sayiir_es.core.decide.rejections import reject, reject_not_found
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.graph.lookup import get_graph
from sayiir_es.core.model.attempt_events import SECRET_HASH_BYTES
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.waits import ErrorDetails
from sayiir_es.core.nodes import task

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.model.commands import RecordOutcome
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.core.model.waits import Awaiting

BASES_MAX = 16
"""Names of an error's classes that are kept."""

_new_outcome = maker(Outcome)


def handle_record_outcome(basis: Basis, command: RecordOutcome) -> Decision:
    """Record the outcome if its attempt is awaited with this secret."""
    if not basis.header.run:
        return reject_not_found(basis, command)
    outcome = _outcome_of(command, basis.context.limits)
    now_ms = basis.context.now_ms
    reason = why_not_due(basis.rows, basis.header, outcome, now_ms)
    if reason == "foreign":
        return _refuse(basis, command)
    if reason is not None:
        return reject_outcome(basis, outcome, reason)
    wait = task.awaiting(basis.rows, command.path)
    assert wait is not None  # it is due
    match _hand_out_of(wait, command.secret):
        case "unknown":
            return _refuse(basis, command)
        case "earlier":
            return reject_outcome(basis, outcome, "late")
        case _:
            return record_outcome(basis, _with_loop_mark(basis, outcome))


def _refuse(basis: Basis, command: RecordOutcome) -> Decision:
    message = (
        "expected the secret of an attempt that was handed to an executor elsewhere, "
        f"but {'none' if command.secret is None else 'another one'}"
    )
    return reject(basis, command, "bad_request", message)


def _hand_out_of(wait: Awaiting, secret: bytes | None) -> str:
    """Of which hand-out of the awaited attempt the secret is.

    `current`, `earlier`, or `unknown`. Each comparison takes the same time, whatever
    the secret is.
    """
    if secret is None:
        return "unknown"
    digest = hashlib.sha256(secret).digest()
    if wait.secret_hash and hmac.compare_digest(digest, wait.secret_hash):
        return "current"
    earlier = wait.earlier_hashes
    known = [
        hmac.compare_digest(digest, earlier[at : at + SECRET_HASH_BYTES])
        for at in range(0, len(earlier), SECRET_HASH_BYTES)
    ]
    return "earlier" if any(known) else "unknown"


def _with_loop_mark(basis: Basis, outcome: Outcome) -> Outcome:
    """The outcome; a failure for good, where its mark does not fit its place."""
    if outcome.result != "completed":
        return outcome
    place = get_graph(basis.rows, basis.context.definitions).place(outcome.path)
    ends_loop = place is not None and place.ends_loop
    if ends_loop == (outcome.loop != "none"):
        return outcome
    what = "again or done, for it ends the body of a loop" if ends_loop else "none"
    return replace(
        outcome,
        result="failed",
        output=None,
        loop="none",
        error_type="bad_loop_result",
        error=f"expected the loop mark {what}, but {outcome.loop}",
        retriable=False,
    )


def _outcome_of(command: RecordOutcome, limits: Limits) -> Outcome:
    """The outcome that a command tells; what it says of an error in bounds."""
    is_completed, output = command.result == "completed", command.output
    outcome = _new_outcome(
        instance_id=command.instance_id,
        run=command.run,
        path=command.path,
        attempt=command.attempt,
        result=command.result,
        output=(b"null" if output is None else output) if is_completed else None,
        loop=command.loop if is_completed else "none",
        worker=command.worker,
    )
    if command.result == "failed":
        return _with_error(outcome, command, limits)
    return outcome


def _with_error(outcome: Outcome, command: RecordOutcome, limits: Limits) -> Outcome:
    """What a command tells of an error, in bounds."""
    share = limits.causes_bytes // limits.causes
    return replace(
        outcome,
        error_type=command.error_type or "Error",
        error=clip(command.error or "", limits.error_bytes),
        retriable=command.retriable,
        details=ErrorDetails(
            error_class=clip(command.error_class, limits.id_bytes),
            source_line=clip(command.source_line, limits.id_bytes),
            causes=tuple(clip(text, share) for text in command.causes[: limits.causes]),
            traceback=clip(command.traceback, limits.traceback_bytes),
        ),
        error_bases=tuple(
            clip(name, limits.id_bytes) for name in command.error_bases[:BASES_MAX]
        ),
    )

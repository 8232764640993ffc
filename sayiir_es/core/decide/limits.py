"""What is decided at a limit: who has a permit now, and who waits.

Theory of operation. First come, first served: who waits longest is granted as soon as
fewer permits are in use than it allows, and there is a token where it has to take one.
That is looked at when somebody asks, when a permit comes back, when the limit is set,
and when the time comes that its rows name. One decision grants a portion; the rest is
due at once by the rows, so that it is granted even if its owner dies in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.basis import basis_of
from sayiir_es.core.decide.rejections import acknowledge, reject
from sayiir_es.core.draft import Recorder, nothing, record
from sayiir_es.core.evolve.limits import with_rate_of
from sayiir_es.core.graph.key_templates import KEY_BYTES_MAX, LIMIT_MAX
from sayiir_es.core.model.permit_events import (
    LIMIT_PREFIX,
    LimitSet,
    PermitGranted,
    PermitQueued,
    PermitReturned,
)
from sayiir_es.core.model.permit_rows import (
    answered_key,
    get_grant_timer,
    get_granted,
    get_limit,
    get_queued,
    get_setting,
    grantable_at,
)
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.model.rows import Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.draft import Basis, Decision, DecisionContext
    from sayiir_es.core.model.commands import AskPermit, ReturnPermit, SetLimit
    from sayiir_es.core.model.inputs import TimerDue
    from sayiir_es.core.model.rows import Rows


GRANTS_MAX = 100
"""Permits granted in one decision. What may be granted beyond is due at once: it comes
in the next one."""


def ask(basis: Basis, command: AskPermit) -> Decision:
    """An attempt asks: it has a permit, or waits."""
    wrong = _wrong_rate(command.rate)
    least = 0 if command.rate else 1
    if not least <= command.limit <= LIMIT_MAX or command.ask < 1:
        wrong = (
            f"expected a limit of {least} to {LIMIT_MAX} and an ask from 1 on, but "
            f"{command.limit} and {command.ask}"
        )
    if wrong:
        return reject(basis, command, "bad_request", wrong)
    key = answered_key(command.holder, command.path, command.ask)
    if basis.rows.get(key) is not None:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    now_ms, setting = basis.context.now_ms, get_setting(basis.rows)
    asked = Ask(
        holder=command.holder,
        path=command.path,
        ask=command.ask,
        limit=command.limit,
        rate=command.rate,
        at=now_ms,
    )
    state = with_rate_of(get_limit(basis.rows), setting, asked, now_ms)
    is_free = (
        state.head == state.tail
        and grantable_at(asked, state, setting, now_ms) == now_ms
    )
    kind = PermitGranted if is_free else PermitQueued
    answered = kind(
        holder=command.holder,
        path=command.path,
        ask=command.ask,
        limit=command.limit,
        rate=command.rate,
    )
    return record(basis, answered)


def take_back(basis: Basis, command: ReturnPermit) -> Decision:
    """A permit comes back, and goes to who waits longest."""
    granted = get_granted(basis.rows, command.permit)
    if granted is None or granted.holder != command.holder:
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    recorder = Recorder(basis)
    recorder.emit(PermitReturned(permit=command.permit))
    _grant_next(recorder)
    return recorder.decision()


def set_limit(basis: Basis, command: SetLimit) -> Decision:
    """What is in force from now on: with more permits, more have one at once."""
    wrong, most = _wrong_rate(command.rate), command.max_concurrency
    key = command.instance_id.removeprefix(LIMIT_PREFIX)
    if not 0 < len(key.encode("utf-8", "surrogatepass")) <= KEY_BYTES_MAX:
        wrong = f"expected a key of 1 to {KEY_BYTES_MAX} bytes, but {key[:64]!r}"
    if most is not None and not 0 <= most <= LIMIT_MAX:
        wrong = f"expected max_concurrency between 0 and {LIMIT_MAX}, but {most}"
    if command.max_running is not None or command.queue_length is not None:
        wrong = (
            "expected max_running and queue_length of a start queue, but "
            f"{command.instance_id!r} is a limit of attempts"
        )
    if wrong:
        return reject(basis, command, "bad_request", wrong)
    is_set: tuple[int | None, str | None] = (None, None)
    setting = get_setting(basis.rows)
    if setting is not None:
        is_set = (setting.max_concurrency, setting.rate)
    if is_set == (most, command.rate):
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    recorder = Recorder(basis)
    recorder.emit(
        LimitSet(
            command_id=command.command_id,
            max_concurrency=most,
            rate=command.rate,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    _grant_next(recorder)
    return recorder.decision()


def grant_due(
    timer: TimerDue, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """The time has come at which who waits longest may have a permit."""
    return grant_when_due(timer, rows, context, room, _grant_next)


def grant_when_due(
    timer: TimerDue,
    rows: Rows,
    context: DecisionContext,
    room: int,
    grant_next: Callable[[Recorder], None],
) -> Decision:
    """What `grant_next` decides once the timer of what lends permits is due."""
    if get_grant_timer(rows) != timer.due_at or timer.due_at > context.now_ms:
        return nothing(timer.instance_id)
    cause = f"timer:@{timer.due_at}"
    recorder = Recorder(basis_of(timer.instance_id, cause, rows, context, room))
    grant_next(recorder)
    return recorder.decision()


def _grant_next(recorder: Recorder) -> None:
    for _ in range(GRANTS_MAX):
        state, setting = get_limit(recorder.rows), get_setting(recorder.rows)
        first, now_ms = get_queued(recorder.rows, state.head), recorder.now_ms
        if first is None or grantable_at(first, state, setting, now_ms) != now_ms:
            return
        recorder.emit(
            PermitGranted(
                holder=first.holder,
                path=first.path,
                ask=first.ask,
                limit=first.limit,
                rate=first.rate,
            )
        )


def _wrong_rate(rate: str | None) -> str:
    """Why that is no rate; empty if it is one, or none."""
    if rate is not None:
        try:
            parse_rate(rate)
        except ValueError as error:
            return str(error)
    return ""

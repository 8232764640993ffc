"""What the events of run permits do: at the start queue, and at the instance.

At a start queue the row of its timer says whenever who waits longest may have a permit
and has none: so what one decision has no room to grant comes in the next one, by
whoever owns the queue then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.headers import header_after, remember_command
from sayiir_es.core.model.rows import (
    Changes,
    Cursor,
    QueuedRun,
    RunPermitMessage,
    StagedRows,
    StartQueueSetting,
    StartQueueState,
)
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitGranted,
    RunPermitMessageSent,
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
    RunPermitTaken,
)
from sayiir_es.core.model.run_permit_rows import (
    CHAIN,
    QUEUED_PREFIX,
    SETTING,
    STATE,
    asked_key,
    get_asked,
    get_queued,
    get_run_permit,
    get_setting,
    get_state,
    granted_key,
    may_grant,
    message_key,
)
from sayiir_es.core.model.waits import AwaitingRunPermit, Granting, HoldingRunPermit
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.permit_events import LimitSet
    from sayiir_es.core.model.rows import Header, Rows


# --- at the instance ------------------------------------------------------------------


def fold_asked(
    rows: Rows, event: Event, body: RunPermitAsked, header: Header
) -> Changes:
    """The run waits; the ask is owed to the queue, and the end of one before it."""
    if body.holder != event.instance_id:
        return {}  # recorded again, of the source of a fork
    wait = AwaitingRunPermit(
        key=body.key, limit=body.limit, ask=event.sequence, since=event.at
    )
    message = RunPermitMessage(
        kind="ask",
        other=body.key,
        ask=event.sequence,
        limit=body.limit,
        queue_length=body.queue_length,
        again=body.again,
    )
    return {
        **without_run_permit(rows),
        f"c{CHAIN}": Cursor(path="", input="start", wait=wait),
        message_key("ask", event.sequence, body.key): message,
        "h": replace(header_after(header, event), queued=True),
    }


def fold_taken(
    rows: Rows, event: Event, body: RunPermitTaken, header: Header
) -> Changes:
    """The run has it, if it is the one that asked; else its return is owed."""
    if body.holder != event.instance_id:
        return {}
    wait = get_run_permit(rows)
    if (
        isinstance(wait, AwaitingRunPermit)
        and wait.ask == body.ask
        and wait.key == body.key
    ):
        holding = HoldingRunPermit(key=body.key, ask=body.ask)
        return {
            f"c{CHAIN}": Cursor(path="", input="start", wait=holding),
            message_key("ask", body.ask, body.key): None,
            "h": replace(header_after(header, event), queued=False),
        }
    return _owed_return(body.key, body.ask)


def fold_sent(
    _rows: Rows, _event: Event, body: RunPermitMessageSent, _header: Header
) -> Changes:
    """It is owed no more."""
    return {message_key(body.message, body.ask, body.other): None}


def without_run_permit(rows: Rows, *, refused: bool = False) -> Changes:
    """The run has ended, or asks anew: what it had, or waited for, is given back.

    Not where it was `refused`: then the queue knows nothing of it.
    """
    wait = get_run_permit(rows)
    if wait is None:
        return {}
    changes: Changes = {
        f"c{CHAIN}": None,
        message_key("ask", wait.ask, wait.key): None,
    }
    if not (refused and isinstance(wait, AwaitingRunPermit)):
        changes |= _owed_return(wait.key, wait.ask)
    return changes


def _owed_return(key: str, ask: int) -> Changes:
    message = RunPermitMessage(kind="return", other=key, ask=ask)
    return {message_key("return", ask, key): message}


# --- at the start queue ---------------------------------------------------------------


def fold_queued(
    rows: Rows, event: Event, body: RunPermitQueued, _header: Header
) -> Changes:
    """It waits behind all others."""
    state, number = get_state(rows), event.sequence
    changes: Changes = {
        f"{QUEUED_PREFIX}{number}": QueuedRun(
            holder=body.holder,
            ask=body.ask,
            before=state.last,
            after=0,
            at=event.at,
        ),
        asked_key(body.holder, body.ask): number,
        STATE: StartQueueState(
            in_use=state.in_use,
            waiting=state.waiting + 1,
            first=state.first or number,
            last=number,
            limit=body.limit,
            queue_length=body.queue_length,
        ),
    }
    last = get_queued(rows, state.last)
    if last is not None:
        changes[f"{QUEUED_PREFIX}{state.last}"] = replace(last, after=number)
    return _with_timer(rows, changes, event.at)


def fold_granted(
    rows: Rows, event: Event, body: RunPermitGranted, _header: Header
) -> Changes:
    """One more is in use; who waited waits no more, and is to be told."""
    number = get_asked(rows, body.holder, body.ask)
    changes, state = _left(rows, number)
    if number:
        changes[asked_key(body.holder, body.ask)] = None
    message = RunPermitMessage(kind="grant", other=body.holder, ask=body.ask)
    changes |= {
        granted_key(body.holder, body.ask): event.at,
        message_key("grant", body.ask, body.holder): message,
        STATE: replace(
            state,
            in_use=state.in_use + 1,
            limit=body.limit,
            queue_length=body.queue_length,
        ),
    }
    return _with_timer(rows, changes, event.at)


def fold_refused(
    rows: Rows, event: Event, body: RunPermitRefused, _header: Header
) -> Changes:
    """The queue knows nothing of it; it is to be told.

    Where a length is set, the event has that one: what the workflow says is learned
    from the next that waits.
    """
    message = RunPermitMessage(
        kind="refusal",
        other=body.holder,
        ask=body.ask,
        queue_length=body.queue_length,
    )
    state, setting = get_state(rows), get_setting(rows)
    length: int | None = body.queue_length
    if setting is not None and setting.queue_length is not None:
        length = state.queue_length
    changes: Changes = {
        message_key("refusal", body.ask, body.holder): message,
        STATE: replace(state, limit=body.limit, queue_length=length),
    }
    return _with_timer(rows, changes, event.at)


def fold_returned(
    rows: Rows, event: Event, body: RunPermitReturned, _header: Header
) -> Changes:
    """One less is in use, or waits."""
    number = get_asked(rows, body.holder, body.ask)
    if number is None:
        return {}
    changes, state = _left(rows, number)
    if number:
        changes[asked_key(body.holder, body.ask)] = None
    else:
        state = replace(state, in_use=state.in_use - 1)
        changes[granted_key(body.holder, body.ask)] = None
    changes |= {message_key("grant", body.ask, body.holder): None, STATE: state}
    return _with_timer(rows, changes, event.at)


def fold_set(rows: Rows, event: Event, body: LimitSet, header: Header) -> Changes:
    """From here on it is in force; None: what the workflow says."""
    setting = None
    if body.max_running is not None or body.queue_length is not None:
        setting = StartQueueSetting(
            max_running=body.max_running,
            queue_length=body.queue_length,
            at=event.at,
            reason=body.reason,
            requested_by=body.requested_by,
        )
    changes: Changes = {SETTING: setting}
    changes["h"] = replace(
        header_after(header, event),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return _with_timer(rows, changes, event.at)


def _with_timer(rows: Rows, changes: Changes, now_ms: int) -> Changes:
    """The changes, and that of the timer, by the rows behind them."""
    timer = None
    if may_grant(StagedRows(rows, changes)):
        timer = Cursor(path="", input="", wait=Granting(due_at=now_ms))
    if timer != rows.get("c"):
        changes["c"] = timer
    return changes


def _left(rows: Rows, number: int | None) -> tuple[Changes, StartQueueState]:
    """Who waits under a number leaves the queue: its neighbours are each other's."""
    state = get_state(rows)
    queued = get_queued(rows, number) if number else None
    if queued is None:
        return {}, state
    changes: Changes = {f"{QUEUED_PREFIX}{number}": None}
    before, after = get_queued(rows, queued.before), get_queued(rows, queued.after)
    if before is not None:
        changes[f"{QUEUED_PREFIX}{queued.before}"] = replace(before, after=queued.after)
    if after is not None:
        changes[f"{QUEUED_PREFIX}{queued.after}"] = replace(after, before=queued.before)
    return changes, replace(
        state,
        waiting=state.waiting - 1,
        first=state.first if before is not None else queued.after,
        last=state.last if after is not None else queued.before,
    )


RUN_PERMIT_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for kind in (
        EventKind(event=RunPermitAsked, fold=fold_asked),
        EventKind(event=RunPermitTaken, fold=fold_taken, sequences=("ask",)),
        EventKind(event=RunPermitMessageSent, fold=fold_sent, sequences=("ask",)),
        EventKind(event=RunPermitQueued, fold=fold_queued),
        EventKind(event=RunPermitGranted, fold=fold_granted),
        EventKind(event=RunPermitRefused, fold=fold_refused),
        EventKind(event=RunPermitReturned, fold=fold_returned),
    )
}
"""The kinds of event of run permits. `Any`: each is checked where it is made."""

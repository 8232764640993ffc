"""A wait for a signal: buffered signals by name, first come, first consumed.

A signal is buffered when it is received, before a first start too; its payload stands
under `signal:SEQUENCE`. A wait takes the oldest buffered signal of its name; of several
waits for one name the oldest gets it. The payload replaces what flowed in, unless the
wait keeps that: then tasks behind it get the payload by name. Whichever stands first in
the log wins between a late signal and the time-out; without a signal the payload is
`null`, or the node fails with `on_timeout="fail"`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import SignalNode
from sayiir_es.core.instants import instant
from sayiir_es.core.model.events import (
    Event,
    SignalAwaited,
    SignalConsumed,
    SignalReceived,
    SignalTimedOut,
)
from sayiir_es.core.model.headers import (
    header_after,
    remember,
    remember_command,
)
from sayiir_es.core.model.rows import (
    TIMED_OUT,
    Changes,
    Cursor,
    Header,
    Rows,
    chain_of,
    get_buffered,
    get_cursor,
    get_cursors,
)
from sayiir_es.core.model.waits import Broken, Ended, Failure, Listening
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import Node


# --- decide ---------------------------------------------------------------------------


def open_signal(draft: Draft, node: SignalNode, path: str, reference: str) -> None:
    """The cursor arrives and listens; to give it what waits already is owed."""
    until = None if node.timeout_ms is None else draft.now_ms + node.timeout_ms
    kept = reference if node.keep_input else ""
    draft.emit(SignalAwaited(path=path, signal=node.signal, until_at=until, input=kept))
    draft.touched.append(chain_of(path))


def is_next(rows: Rows, cursor: Cursor, wait: Listening) -> bool:
    """Whether a signal is buffered for the wait, and no older wait is before it."""
    return (
        bool(get_buffered(rows, wait.signal))
        and oldest_wait(rows, wait.signal) == cursor.path
    )


def consume(draft: Draft, cursor: Cursor, wait: Listening) -> None:
    """The wait, which is the next, gets the oldest signal."""
    buffered = get_buffered(draft.rows, wait.signal)
    draft.emit(SignalConsumed(path=cursor.path, signal_sequence=buffered[0]))
    # Under a pause as many may have been buffered as there are waits for the name.
    following = oldest_wait(draft.rows, wait.signal) if len(buffered) > 1 else None
    if following is not None:
        draft.touched.append(chain_of(following))
    draft.touched.append(chain_of(cursor.path))


def time_out(draft: Draft, cursor: Cursor, _wait: Listening) -> None:
    """No signal came in time."""
    failure = failure_at(draft, cursor.path)
    if failure is not None:  # it and what the failure does are one decision
        timed_out = SignalTimedOut(path=cursor.path, error=failure.error)
        fail(draft, cursor.path, failure, timed_out)
        return
    draft.emit(SignalTimedOut(path=cursor.path))
    draft.touched.append(chain_of(cursor.path))


def failure_at(draft: Draft, path: str) -> Failure | None:
    """How the run ends when the wait at `path` has timed out; None if it goes on."""
    place = draft.graph.place(path)
    node = place.node if place is not None else None
    if not isinstance(node, SignalNode) or node.on_timeout != "fail":
        return None
    return _failure(f"Signal {node.signal!r} did not come within {node.timeout_ms}ms")


def _failure(error: str) -> Failure:
    return Failure(error_type="signal_timeout", error=error, timed_out=False)


def until(wait: Listening) -> int | None:
    """When the time is over; None if it never is."""
    return wait.until_at


def oldest_wait(rows: Rows, signal: str) -> str | None:
    """The path of the oldest wait for that name."""
    waits = [
        (cursor.wait.since, cursor.path)
        for _, cursor in get_cursors(rows)
        if isinstance(cursor.wait, Listening) and cursor.wait.signal == signal
    ]
    return min(waits)[1] if waits else None


# --- evolve ---------------------------------------------------------------------------


def fold_awaited(
    _rows: Rows, event: Event, body: SignalAwaited, _header: Header
) -> Changes:
    """The chain's cursor listens; what flowed in ends here, unless it is kept."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path,
            input=body.input or "null",
            wait=Listening(
                signal=body.signal,
                until_at=body.until_at,
                since=event.sequence,
                keeps_input=bool(body.input),
            ),
        )
    }


def fold_received(
    rows: Rows, event: Event, body: SignalReceived, header: Header
) -> Changes:
    """The payload is kept under the event's sequence, and the sequence waits."""
    changes: Changes = {
        f"vsignal:{event.sequence}": body.payload,
        "b" + body.signal: (*get_buffered(rows, body.signal), event.sequence),
    }
    if body.traceparent is not None:
        changes[f"t{event.sequence}"] = body.traceparent
    signal_ids = header.signal_ids
    if body.signal_id is not None:
        remember(
            rows,
            changes,
            rows_prefix=("s", "g"),
            count=signal_ids,
            item=body.signal_id,
        )
        changes["s" + body.signal_id] = event.sequence
        signal_ids += 1
    changes["h"] = replace(
        header_after(header, event),
        buffered=header.buffered + 1,
        command_ids=remember_command(rows, event, body.command_id, changes, header),
        signal_ids=signal_ids,
    )
    return changes


def fold_consumed(
    rows: Rows, event: Event, body: SignalConsumed, header: Header
) -> Changes:
    """The wait's value is the signal, which waits no longer."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or not isinstance(cursor.wait, Listening):
        return {}
    name = cursor.wait.signal
    left = tuple(
        sequence
        for sequence in get_buffered(rows, name)
        if sequence != body.signal_sequence
    )
    return {
        "q" + body.path: body.signal_sequence,
        "b" + name: left or None,
        "c" + chain: Cursor(
            path=body.path,
            input=cursor.input,
            wait=_ended(cursor, cursor.wait, f"signal:{body.signal_sequence}"),
        ),
        "h": replace(header_after(header, event), buffered=header.buffered - 1),
    }


def fold_timed_out(
    rows: Rows, _event: Event, body: SignalTimedOut, _header: Header
) -> Changes:
    """The wait's value is `null`, or it has failed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if (
        cursor is None
        or cursor.path != body.path
        or not isinstance(cursor.wait, Listening)
    ):
        return {}
    if body.error:
        wait: Ended | Broken = Broken(failure=_failure(body.error))
        return {"c" + chain: Cursor(path=body.path, input=cursor.input, wait=wait)}
    wait = _ended(cursor, cursor.wait, "null")
    return {
        "q" + body.path: TIMED_OUT,
        "c" + chain: Cursor(path=body.path, input=cursor.input, wait=wait),
    }


def _ended(cursor: Cursor, wait: Listening, reference: str) -> Ended:
    """The end of a wait: its value flows on, or what flowed in."""
    return Ended(result=cursor.input if wait.keeps_input else reference)


# --- status ---------------------------------------------------------------------------


def sentence(cursor: Cursor, wait: Listening, _node: Node | None) -> str:
    """What a status says of it."""
    end = "" if wait.until_at is None else f" until {instant(wait.until_at)}"
    return f"signal {wait.signal!r} at {cursor.path!r}{end}"


def searched_as(_cursor: Cursor, wait: Listening) -> str:
    """By what searches find it."""
    return f"signal:{wait.signal}"


SIGNAL = NodeKind(node=SignalNode, open=open_signal)
LISTENING = WaitKind(
    wait=Listening,
    may_owe=False,
    is_owed=is_next,
    move=consume,
    wakes_at=until,
    fires_at=until,
    fire=time_out,
    status="awaiting_signal",
    sentence=sentence,
    searched_as=searched_as,
)
EVENTS = (
    EventKind(event=SignalAwaited, fold=fold_awaited, references=("input",)),
    EventKind(event=SignalReceived, fold=fold_received),
    EventKind(event=SignalConsumed, fold=fold_consumed, sequences=("signal_sequence",)),
    EventKind(event=SignalTimedOut, fold=fold_timed_out),
)

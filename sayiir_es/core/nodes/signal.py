"""A wait for a signal: buffered signals by name, first come, first consumed.

A signal is buffered when it is received, before a first start too; its payload stands
under `signal:SEQUENCE`. A wait takes the oldest buffered signal of its name; of several
waits for one name the oldest gets it. The payload replaces what flowed in. Whichever
stands first in the log wins between a late signal and the time-out; without a signal
the result is `null`, or the run fails with `on_timeout="fail"`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.events import (
    Event,
    SignalAwaited,
    SignalConsumed,
    SignalReceived,
    SignalTimedOut,
    WorkflowFailed,
)
from sayiir_es.core.model.headers import (
    header_after,
    remember,
    remember_command,
)
from sayiir_es.core.model.rows import (
    Changes,
    Cursor,
    Header,
    Rows,
    chain_of,
    get_buffered,
    get_cursor,
    get_cursors,
)
from sayiir_es.core.model.waits import Ended, Listening

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import SignalNode


# --- decide ---------------------------------------------------------------------------


def open_signal(draft: Draft, node: SignalNode, path: str) -> None:
    """The cursor arrives and listens; what waits already is for `settle` to give."""
    until = None if node.timeout_ms is None else draft.now_ms + node.timeout_ms
    draft.emit(SignalAwaited(path=path, signal=node.signal, until_at=until))


def consume(draft: Draft, path: str, wait: Listening) -> bool:
    """Give the wait its signal, if one is buffered and no older wait is before it."""
    waiting = get_buffered(draft.rows, wait.signal)
    if not waiting or oldest_wait(draft.rows, wait.signal) != path:
        return False
    draft.emit(SignalConsumed(path=path, signal_sequence=waiting[0]))
    # Under a pause as many may have been buffered as there are waits for the name.
    following = oldest_wait(draft.rows, wait.signal) if len(waiting) > 1 else None
    if following is not None:
        draft.touched.append(chain_of(following))
    draft.touched.append(chain_of(path))
    return True


def time_out(draft: Draft, path: str) -> None:
    """No signal came in time."""
    draft.emit(SignalTimedOut(path=path))
    draft.touched.append(chain_of(path))


def failure(node: SignalNode, path: str) -> WorkflowFailed:
    """How the run ends at a wait whose time-out fails it."""
    return WorkflowFailed(
        path=path,
        error_type="signal_timeout",
        error=f"Signal {node.signal!r} did not come within {node.timeout_ms}ms",
    )


def oldest_wait(rows: Rows, signal: str) -> str | None:
    """The path of the oldest wait for that name."""
    found = [
        (cursor.wait.since, cursor.path)
        for _, cursor in get_cursors(rows)
        if isinstance(cursor.wait, Listening) and cursor.wait.signal == signal
    ]
    return min(found)[1] if found else None


# --- evolve ---------------------------------------------------------------------------


def fold_awaited(event: Event, body: SignalAwaited) -> Changes:
    """The chain's cursor listens; what flowed in ends here."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path,
            input="null",
            wait=Listening(
                signal=body.signal, until_at=body.until_at, since=event.sequence
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
    """The wait's result is the signal, which waits no longer."""
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
            wait=Ended(result=f"signal:{body.signal_sequence}"),
        ),
        "h": replace(header_after(header, event), buffered=header.buffered - 1),
    }


def fold_timed_out(rows: Rows, body: SignalTimedOut) -> Changes:
    """The wait's result is `null`; a run that fails on it says so next."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    return {
        "c" + chain: Cursor(
            path=body.path, input=cursor.input, wait=Ended(result="null")
        )
    }

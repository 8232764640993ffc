"""A child as its own instance: its start is owed, and its end may be waited for.

Life of a child: `ChildInstanceRequested` makes its start due, whose command goes to the
partition of its id. `ChildInstanceSent` says that the commands topic holds it, so that
a new owner does not send it for ever; sent twice, it counts once, by its command id.
With the end of the child comes `ChildInstanceEnded`. A node that does not wait goes on
with the child's id at once.

When the run ends, its open children are cancelled, where the node says so:
`ChildCancelSent`. A retry of the run asks for these anew; a start by the same node in a
later run takes the place of the child of before.

Where no child can be asked for, the request names none, and the node fails with it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.child_ids import child_id_of
from sayiir_es.core.graph.nodes import StartChildNode
from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.graph.references import NULL, resolve
from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceEnded,
    ChildInstanceRequested,
    ChildInstanceSent,
    ChildStartRefused,
)
from sayiir_es.core.model.child_records import EndReport, OpenChild, Parent
from sayiir_es.core.model.child_rows import (
    CHILD,
    get_child,
    is_copy,
    report_key,
    without_child,
)
from sayiir_es.core.model.headers import header_after, remember_command
from sayiir_es.core.model.rows import (
    TERMINAL,
    Changes,
    Cursor,
    Rows,
    chain_of,
    get_cursor,
    get_value,
)
from sayiir_es.core.model.waits import (
    AwaitingChild,
    Broken,
    Ended,
    Failure,
    RequestingChild,
)
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_start_child(
    draft: Draft, node: StartChildNode, path: str, reference: str
) -> None:
    """The cursor arrives: the child is requested, or the node fails."""
    child_id = child_id_of(node.child_id, draft.instance_id, path)
    value = resolve(draft.rows, draft.graph, reference)
    failure = _wrong_request(draft, path, child_id, value)
    stands_alone = reference == "null" or get_value(draft.rows, reference) is not None
    requested = ChildInstanceRequested(
        path=path,
        child_id="" if failure else child_id,
        workflow=node.workflow,
        version=node.version,
        input=reference,
        value=None if stands_alone or failure else value,
        secret="" if failure else draft.new_secret(),
        waits=node.waits,
        on_parent_end=node.on_parent_end,
    )
    if failure is not None:
        fail(draft, path, failure, requested)
        return
    draft.emit(requested)
    draft.touched.append(chain_of(path))


def _wrong_request(
    draft: Draft, path: str, child_id: str, value: bytes
) -> Failure | None:
    """Why such a child cannot be asked for."""
    limits = draft.limits
    size = len(child_id.encode("utf-8", "surrogatepass"))
    if size > limits.id_bytes:
        return Failure(
            error_type="bad_child_id",
            error=(
                f"expected an id of at most {limits.id_bytes} bytes for the child of "
                f"{path[:200]!r}, but {size} bytes: give the node a shorter id="
            ),
            timed_out=False,
        )
    if len(value) > limits.payload_bytes:
        return Failure(
            error_type="too_large",
            error=(
                f"expected an input of at most {limits.payload_bytes} bytes for child "
                f"{child_id!r}, but {len(value)} bytes: pass a reference to large data "
                "instead of the data"
            ),
            timed_out=False,
        )
    child = get_child(draft.rows, child_id)
    if child is not None and child.path != path:
        return Failure(
            error_type="already_exists",
            error=(
                f"expected no child {child_id!r} that has not ended, but "
                f"{child.path!r} started one"
            ),
            timed_out=False,
        )
    return None


def is_unrequested(_rows: Rows, _cursor: Cursor, _wait: RequestingChild) -> bool:
    """Whether it is to be requested: as soon as nothing holds it."""
    return True


def request(_draft: Draft, cursor: Cursor, _wait: RequestingChild) -> Opening:
    """The node opens anew, with what had flowed in."""
    return Opening(path=cursor.path, reference=cursor.input)


# --- evolve ---------------------------------------------------------------------------


def fold_requested(
    rows: Rows, event: Event, body: ChildInstanceRequested, header: Header
) -> Changes:
    """The chain's cursor waits for the child's end, or goes on with its id.

    Of a fork of the parent it is not the child: it asks for one of its own.
    """
    chain, own = chain_of(body.path), bool(body.child_id) and not is_copy(rows, event)
    changes: Changes = {}
    wait: AwaitingChild | RequestingChild | Ended
    if body.child_id and not body.waits:
        wait = Ended(result="result:" + body.path)
        changes["vresult:" + body.path] = json.dumps(
            body.child_id, ensure_ascii=False
        ).encode()
    elif own:
        wait = AwaitingChild(child_id=body.child_id)
    else:
        wait = RequestingChild()
    changes["c" + chain] = Cursor(path=body.path, input=body.input, wait=wait)
    if own:
        value = get_value(rows, body.input) if body.value is None else body.value
        before = get_child(rows, body.child_id)
        children = without_child(rows, before, header, changes)
        changes[CHILD + body.child_id] = OpenChild(
            path=body.path,
            run=event.run,
            sequence=event.sequence,
            workflow=body.workflow,
            version=body.version,
            secret=body.secret,
            waits=body.waits,
            on_parent_end=body.on_parent_end,
            input=NULL if value is None else value,
        )
        changes["h"] = replace(
            header_after(header, event),
            children=children + (body.on_parent_end == "cancel"),
        )
    return changes


def fold_sent(
    rows: Rows, _event: Event, body: ChildInstanceSent, _header: Header
) -> Changes:
    """It is started; one that nobody asks for any more is not kept."""
    child = get_child(rows, body.child_id)
    if child is None:
        return {}
    is_left = not child.waits and child.on_parent_end == "leave"
    return {CHILD + body.child_id: None if is_left else replace(child, input=None)}


def fold_ended(
    rows: Rows, event: Event, body: ChildInstanceEnded, header: Header
) -> Changes:
    """The child is gone; what waits for it has its output, or has failed."""
    changes: Changes = {}
    children = header.children
    copied = is_copy(rows, event)
    child = None if copied else get_child(rows, body.child_id)
    if child is not None:
        children = without_child(rows, child, header, changes)
        changes[CHILD + body.child_id] = None
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if (
        cursor is not None
        and cursor.path == body.path
        and _awaits(cursor, body, copied=copied)
    ):
        changes.update(_ended(cursor, body, header))
    changes["h"] = replace(
        header_after(header, event),
        children=children,
        command_ids=remember_command(rows, event, body.command_id, changes, header)
        if body.command_id
        else header.command_ids,
    )
    return changes


def _awaits(cursor: Cursor, body: ChildInstanceEnded, *, copied: bool) -> bool:
    wait = cursor.wait
    if isinstance(wait, AwaitingChild):
        return wait.child_id == body.child_id
    return copied and isinstance(wait, RequestingChild)


def _ended(cursor: Cursor, body: ChildInstanceEnded, header: Header) -> Changes:
    reference = "result:" + body.path
    changes: Changes = {}
    wait: Ended | Broken | RequestingChild
    if body.end == "completed":
        changes["v" + reference] = NULL if body.output is None else body.output
        wait = Ended(result=reference)
    elif header.phase in TERMINAL:
        wait = RequestingChild()  # should the run be retried
    else:
        wait = Broken(failure=failure_of(body))
    changes["c" + chain_of(body.path)] = replace(cursor, wait=wait)
    return changes


def failure_of(body: ChildInstanceEnded) -> Failure:
    """How a node fails whose child did not complete."""
    error_type = body.error_type or body.end
    error = body.error or f"child {body.child_id!r} was {body.end}"
    return Failure(
        error_type=error_type, error=error, timed_out=False, bases=body.error_bases
    )


def fold_cancel_sent(
    rows: Rows, event: Event, body: ChildCancelSent, header: Header
) -> Changes:
    """It is told that it is cancelled; what it ends with is still to come."""
    child = get_child(rows, body.child_id)
    if child is None:
        return {}
    changes: Changes = {}
    children = without_child(rows, child, header, changes)
    changes[CHILD + body.child_id] = replace(child, is_told=True)
    changes["h"] = replace(header_after(header, event), children=children)
    return changes


def fold_refused(
    rows: Rows, event: Event, body: ChildStartRefused, _header: Header
) -> Changes:
    """That no run was started is to be told."""
    if is_copy(rows, event):
        return {}
    parent = Parent(instance_id=body.parent, run=body.parent_run, path=body.parent_path)
    return {
        report_key(parent, 0): EndReport(
            parent=parent,
            secret=body.parent_secret,
            child_run=0,
            end="failed",
            error_type=body.error_type,
            error=body.error,
        )
    }


def fold_reported(
    rows: Rows, _event: Event, body: ChildEndReported, _header: Header
) -> Changes:
    """The parent is told."""
    parent = Parent(instance_id=body.parent, run=0, path=body.parent_path)
    key = report_key(parent, body.child_run)
    return {} if rows.get(key) is None else {key: None}


def due_again(rows: Rows, cursor: Cursor) -> Cursor | None:
    """The cursor in the run that a retry begins; None where it waits for no child.

    A child that is cancelled with the run before is requested anew.
    """
    wait = cursor.wait
    if not isinstance(wait, AwaitingChild):
        return None
    child = get_child(rows, wait.child_id)
    if child is not None and child.on_parent_end == "leave":
        return cursor
    return replace(cursor, wait=RequestingChild())


# --- status ---------------------------------------------------------------------------


def sentence(cursor: Cursor, wait: AwaitingChild, _node: Node | None) -> str:
    """What a status says of it."""
    return f"child {wait.child_id!r} at {cursor.path!r}"


def searched_as(cursor: Cursor, _wait: AwaitingChild) -> str:
    """By what searches find it."""
    return f"child:{node_name(cursor.path)}"


START_CHILD = NodeKind(node=StartChildNode, open=open_start_child)
AWAITING_CHILD = WaitKind(
    wait=AwaitingChild,
    may_owe=False,
    status="waiting",
    sentence=sentence,
    searched_as=searched_as,
)
REQUESTING_CHILD = WaitKind(wait=RequestingChild, is_owed=is_unrequested, move=request)
EVENTS = (
    EventKind(event=ChildInstanceRequested, fold=fold_requested, references=("input",)),
    EventKind(event=ChildInstanceSent, fold=fold_sent),
    EventKind(event=ChildInstanceEnded, fold=fold_ended),
    EventKind(event=ChildCancelSent, fold=fold_cancel_sent),
    EventKind(event=ChildStartRefused, fold=fold_refused),
    EventKind(event=ChildEndReported, fold=fold_reported),
)

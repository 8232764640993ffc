"""A try: a body, and a handler that goes on where a failure in the body ends it.

`TryStarted` opens the body with what flows in. When that has ended, or the handler,
`TryCompleted` ends the try with its result. A failure inside the body that nothing
farther in catches ends it (`ErrorCaught`): its cursors go, and with them what runs and
waits there; results stay. Then the handler opens with what was caught, a value that is
put together from what stands: the failure, and what had flowed into the body. A failure
of the handler goes outwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import first_path
from sayiir_es.core.graph.nodes import TryNode
from sayiir_es.core.graph.paths import BODY, ON_ERROR, join
from sayiir_es.core.graph.references import CAUGHT
from sayiir_es.core.model.events import ErrorCaught, TryCompleted, TryStarted
from sayiir_es.core.model.rows import (
    Caught,
    Changes,
    Cursor,
    Rows,
    chain_of,
    get_caught,
    get_cursor,
)
from sayiir_es.core.model.waits import Ended, Trying
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_try(draft: Draft, _node: TryNode, path: str, reference: str) -> None:
    """The cursor arrives; the move into the body is owed."""
    draft.emit(TryStarted(path=path, input=reference))
    draft.touched.append(chain_of(path))


def is_unopened(rows: Rows, cursor: Cursor, wait: Trying) -> bool:
    """Whether the body, or the handler, has no cursor yet."""
    return get_cursor(rows, join(cursor.path, wait.branch)) is None


def enter(draft: Draft, cursor: Cursor, wait: Trying) -> Opening:
    """The body begins with what flowed in, the handler with what was caught."""
    node, path = draft.graph.node(cursor.path, TryNode), cursor.path
    if wait.branch == BODY:
        first = first_path(join(path, BODY), node.body)
        return Opening(path=first, reference=cursor.input)
    first = first_path(join(path, ON_ERROR), node.handler)
    return Opening(path=first, reference=CAUGHT + path)


def end_chain(draft: Draft, container: Container, result: str) -> None:
    """The body or the handler has ended, and its result is that of the try."""
    draft.emit(TryCompleted(path=container.path, result=result))
    draft.touched.append(chain_of(container.path))


def was_left(rows: Rows, path: str) -> bool:
    """Whether a caught error ended a body around the node at `path`."""
    segments = path.split("/")
    return any(
        get_caught(rows, "/".join(segments[:number])) is not None
        for number, segment in enumerate(segments)
        if segment == BODY
    )


# --- evolve ---------------------------------------------------------------------------


def fold_started(
    _rows: Rows, _event: Event, body: TryStarted, _header: Header
) -> Changes:
    """The chain's cursor waits for the body."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Trying(branch=BODY)
        )
    }


def fold_caught(
    rows: Rows, _event: Event, body: ErrorCaught, _header: Header
) -> Changes:
    """The cursors of the body go; what was caught is kept, and the handler is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    changes: Changes = dict.fromkeys(rows.keys("c" + join(body.path, BODY)))
    changes["a" + body.path] = Caught(
        path=body.failed_path,
        error_type=body.error_type,
        error=body.error,
        input=cursor.input,
    )
    changes["c" + chain] = Cursor(
        path=body.path, input=cursor.input, wait=Trying(branch=ON_ERROR)
    )
    return changes


def fold_completed(
    rows: Rows, _event: Event, body: TryCompleted, _header: Header
) -> Changes:
    """The inner cursor goes; moving on is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if (
        cursor is None
        or cursor.path != body.path
        or not isinstance(cursor.wait, Trying)
    ):
        return {}
    return {
        "c" + join(body.path, cursor.wait.branch): None,
        "x" + body.path: body.result,
        "c" + chain: Cursor(
            path=body.path, input=cursor.input, wait=Ended(result=body.result)
        ),
    }


TRY = NodeKind(node=TryNode, open=open_try, end_chain=end_chain)
TRYING = WaitKind(wait=Trying, is_owed=is_unopened, move=enter)
EVENTS = (
    EventKind(event=TryStarted, fold=fold_started, references=("input",)),
    EventKind(event=ErrorCaught, fold=fold_caught),
    EventKind(event=TryCompleted, fold=fold_completed, references=("result",)),
)

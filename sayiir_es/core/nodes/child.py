"""A child: another workflow's chain, run in place under paths of its own.

Equal names in parent and child never meet, and the same child twice runs twice. Its
last node may be anything, a delay or a wait too: then the parent goes on behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import first_path
from sayiir_es.core.graph.nodes import ChildNode
from sayiir_es.core.model.events import ChildCompleted, ChildStarted
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Ended, Inside
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_child(draft: Draft, _node: ChildNode, path: str, reference: str) -> None:
    """The cursor arrives; the move into the child's chain is owed."""
    draft.emit(ChildStarted(path=path, input=reference))
    draft.touched.append(chain_of(path))


def is_unopened(rows: Rows, cursor: Cursor, _wait: Inside) -> bool:
    """Whether the child's chain has no cursor yet."""
    return get_cursor(rows, cursor.path) is None


def enter(draft: Draft, cursor: Cursor, _wait: Inside) -> Opening:
    """The child's chain begins with what flowed in."""
    node = draft.graph.node(cursor.path, ChildNode)
    return Opening(path=first_path(cursor.path, node.chain), reference=cursor.input)


def end_chain(draft: Draft, container: Container, result: str) -> None:
    """The child's chain has ended, and its result is the child's."""
    draft.emit(ChildCompleted(path=container.path, result=result))
    draft.touched.append(chain_of(container.path))


# --- evolve ---------------------------------------------------------------------------


def fold_started(
    _rows: Rows, _event: Event, body: ChildStarted, _header: Header
) -> Changes:
    """The chain's cursor waits for the child's chain."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Inside()
        )
    }


def fold_completed(
    rows: Rows, _event: Event, body: ChildCompleted, _header: Header
) -> Changes:
    """The inner cursor goes; moving on is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    return {
        "c" + body.path: None,
        "c" + chain: Cursor(
            path=body.path, input=cursor.input, wait=Ended(result=body.result)
        ),
    }


CHILD = NodeKind(node=ChildNode, open=open_child, end_chain=end_chain)
INSIDE = WaitKind(wait=Inside, is_owed=is_unopened, move=enter)
EVENTS = (
    EventKind(event=ChildStarted, fold=fold_started, references=("input",)),
    EventKind(event=ChildCompleted, fold=fold_completed, references=("result",)),
)

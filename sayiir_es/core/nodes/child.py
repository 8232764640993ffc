"""A child: another workflow's chain, run in place under paths of its own.

Equal names in parent and child never meet, and the same child twice runs twice. Its
last node may be anything, a delay or a wait too: then the parent goes on behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.events import ChildCompleted, ChildStarted
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Ended, Inside

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft


def open_child(draft: Draft, path: str, reference: str) -> None:
    """The cursor arrives; the child's chain is for `settle` to open."""
    draft.emit(ChildStarted(path=path, input=reference))
    draft.touched.append(chain_of(path))


def complete(draft: Draft, path: str, result: str) -> None:
    """The child's chain has ended, and its result is the child's."""
    draft.emit(ChildCompleted(path=path, result=result))
    draft.touched.append(chain_of(path))


def fold_started(body: ChildStarted) -> Changes:
    """The chain's cursor waits for the child's chain."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Inside()
        )
    }


def fold_completed(rows: Rows, body: ChildCompleted) -> Changes:
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

"""A durable delay: parks the cursor until its time; its input passes through.

A delay always parks, even for 0 s. Its end is computed when it is entered, from the
owner's clock, and stands in the event; clocks go on while the run is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.events import DelayElapsed, DelayStarted
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Ended, Sleeping

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import DelayNode


def open_delay(draft: Draft, node: DelayNode, path: str, reference: str) -> None:
    """The cursor arrives and sleeps."""
    draft.emit(
        DelayStarted(path=path, due_at=draft.now_ms + node.duration_ms, input=reference)
    )


def elapse(draft: Draft, path: str) -> None:
    """Its time has come."""
    draft.emit(DelayElapsed(path=path))
    draft.touched.append(chain_of(path))


def fold_started(body: DelayStarted) -> Changes:
    """The chain's cursor sleeps."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Sleeping(due_at=body.due_at)
        )
    }


def fold_elapsed(rows: Rows, body: DelayElapsed) -> Changes:
    """What came in goes on; moving on is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    return {
        "c" + chain: Cursor(
            path=body.path, input=cursor.input, wait=Ended(result=cursor.input)
        )
    }

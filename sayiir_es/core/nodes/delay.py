"""A durable delay: parks the cursor until its time; its input passes through.

A delay always parks, even for 0 s. Its end is computed when it is entered, from the
owner's clock, and stands in the event; clocks go on while the run is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.events import DelayElapsed, DelayStarted
from sayiir_es.core.rows import Changes, Cursor, Rows, chain_of, cursor
from sayiir_es.core.waits import Ended, Sleeping

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph import DelayNode


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
    found = cursor(rows, chain)
    if found is None or found.path != body.path:
        return {}
    return {
        "c" + chain: Cursor(
            path=body.path, input=found.input, wait=Ended(result=found.input)
        )
    }

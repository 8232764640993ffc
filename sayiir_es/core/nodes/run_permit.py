"""The permit of a whole run: what its cursor waits for, and what follows then.

Theory of operation. As the time-out of a run does, it stands in a chain of its own that
no path names. While it waits the header says that the run is queued, which holds every
move back, also those of a run that is retried. It is taken in one decision with the
opening of the first node; what a pause held back is found by the rows: a run with a
permit whose root chain has no cursor has not begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import decode_segment
from sayiir_es.core.instants import instant
from sayiir_es.core.model.rows import get_cursor
from sayiir_es.core.model.waits import AwaitingRunPermit, HoldingRunPermit
from sayiir_es.core.nodes.kinds import Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.rows import Cursor, Rows


def is_opening_owed(rows: Rows, _cursor: Cursor, _wait: HoldingRunPermit) -> bool:
    """Whether the first node is not open yet, and may be."""
    return get_cursor(rows, "") is None


def open_first(
    draft: Draft, _cursor: Cursor, _wait: HoldingRunPermit
) -> Opening | None:
    """The run begins."""
    return Opening(path=draft.graph.first, reference="start")


def workflow_of(key: str) -> str:
    """The workflow in whose start queue a run waits."""
    return decode_segment(key.partition("/")[0])


def sentence(_cursor: Cursor, wait: AwaitingRunPermit, _node: Node | None) -> str:
    """What a status says of it."""
    return f"{place_of(wait)} ({wait.limit} at a time) since {instant(wait.since)}"


def place_of(wait: AwaitingRunPermit) -> str:
    """How what a status says of it begins."""
    return f"a place of workflow {workflow_of(wait.key)!r}"


def searched_as(_cursor: Cursor, wait: AwaitingRunPermit) -> str:
    """By what searches find it."""
    return f"start:{workflow_of(wait.key)}"


AWAITING_RUN_PERMIT = WaitKind(
    wait=AwaitingRunPermit,
    may_owe=False,
    sentence=sentence,
    searched_as=searched_as,
)
HOLDING_RUN_PERMIT = WaitKind(
    wait=HoldingRunPermit,
    is_owed=is_opening_owed,
    move=open_first,
)

"""The time-out of a whole run: a cursor of its own that waits until its deadline.

Theory of operation. The cursor stands in a chain that no node's path can name: a `%` in
a path begins an escape. So its time is kept, found and fired as every other one. When
it comes the run fails, whatever stands in it, with the path `""`: no node has failed.
It comes while a pause is requested, too, as the deadline of an attempt does; a run that
is cancelled, or has failed, ends as it began to. What ends the run ends it. A retry and
a release from quarantine give the run all of its time again: their events say until
when. What is undone has no end of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.instants import instant
from sayiir_es.core.model.rows import Cursor, Rows, get_cursor
from sayiir_es.core.model.waits import Failure, RunDeadline
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.kinds import WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.rows import Changes

CHAIN = "%run"
"""The chain of its cursor."""

PATH = ""
"""Where a run fails that is out of time: at no node."""


# --- decide ---------------------------------------------------------------------------


def deadline_of(graph: Graph, now_ms: int) -> int | None:
    """Until when a run may take that goes on now; None where it may take for ever."""
    return None if graph.timeout_ms is None else now_ms + graph.timeout_ms


def time_out(draft: Draft, _cursor: Cursor, _wait: RunDeadline) -> None:
    """The run is out of time: it fails."""
    graph = draft.graph
    # It may have migrated to a graph that knows of no time-out.
    error = timeout_text(graph.name, graph.timeout_ms)
    fail(draft, PATH, Failure(error_type="timeout", error=error, timed_out=True))


def timeout_text(workflow: str, timeout_ms: int | None) -> str:
    """The error text of a run that was timed out; None: nobody knows after how long."""
    if timeout_ms is None:
        return f"Workflow {workflow!r} timed out"
    if timeout_ms % 1000:
        return f"Workflow {workflow!r} timed out after {timeout_ms}ms"
    return f"Workflow {workflow!r} timed out after {timeout_ms // 1000}s"


def due_at(wait: RunDeadline) -> int:
    """When the run is out of time."""
    return wait.deadline_at


# --- evolve ---------------------------------------------------------------------------


def set_deadline(rows: Rows, deadline_at: int | None) -> Changes:
    """The run may take until then, and no longer until what was said before."""
    if deadline_at is not None:
        wait = RunDeadline(deadline_at=deadline_at)
        return {"c" + CHAIN: Cursor(path=PATH, input="start", wait=wait)}
    return {} if get_cursor(rows, CHAIN) is None else {"c" + CHAIN: None}


# --- status ---------------------------------------------------------------------------


def sentence(_cursor: Cursor, wait: RunDeadline, _node: Node | None) -> str:
    """What a status says of it."""
    return f"the end of its time at {instant(wait.deadline_at)}"


RUN_DEADLINE = WaitKind(
    wait=RunDeadline,
    may_owe=False,
    wakes_at=due_at,
    fires_at=due_at,
    is_timer_held=False,
    yields_to_stop=True,
    fire=time_out,
    sentence=sentence,
)

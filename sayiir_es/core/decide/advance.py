"""What follows from what happened: cursors move on until every one waits.

Theory of operation. A decision begins with one event or two (a start, an outcome, a
timer) that may leave cursors whose node has ended, or waits whose signal is there.
Their moves are *owed*: `settle` makes them, the last touched chain first, so that what
follows from one comes before the next opens. It stops when nothing moves, when the run
has ended, or when the decision is full; then the rest is owed still, and `owed_moves`
finds it from the rows alone, after a crash too. A requested cancel or pause holds every
move back and applies as soon as nothing runs; cancel wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide.owed import (
    inner_chain,
    is_held,
    is_move,
    is_request_owed,
)
from sayiir_es.core.graph.graph import segments
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.graph.paths import join
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.events import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
)
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    chain_of,
    get_cursor,
    get_cursors,
)
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Inside,
    Listening,
    Looping,
    Routing,
    Sleeping,
)
from sayiir_es.core.nodes import child, delay, fork, loop, route, signal, task

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph


def advance(draft: Draft) -> None:
    """Make the moves that are owed, as far as the decision has room."""
    while draft.touched:
        header = _known(draft)
        if header.phase in TERMINAL:
            break
        cursor = get_cursor(draft.rows, draft.touched.pop())
        if cursor is None:
            continue
        if isinstance(cursor.wait, Broken) and header.cancel is None:
            # Never cut: a failure and the end of its run are one decision.
            fail(draft, cursor.path, cursor.wait)
        elif is_move(draft.rows, header, cursor) and (
            draft.full() or not _move(draft, cursor)
        ):
            draft.cut = True
            return
    _apply_requests(draft)


def fail(draft: Draft, path: str, broken: Broken) -> None:
    """The run fails at `path`."""
    draft.emit(
        WorkflowFailed(
            path=path,
            error_type=broken.failure.error_type,
            error=broken.failure.error,
        )
    )


def open_node(draft: Draft, path: str, reference: str) -> None:
    """A cursor arrives at `path`; `reference` names what flows in."""
    graph = _graph(draft)
    place = graph.place(path)
    if place is None:
        raise HistoryError(
            f"expected a node of workflow {graph.name!r} at {path!r}, but there is none"
        )
    node = place.node
    match node:
        case TaskNode():
            task.open_task(draft, path, reference)
        case DelayNode():
            delay.open_delay(draft, node, path, reference)
        case SignalNode():
            signal.open_signal(draft, node, path)
            draft.touched.append(chain_of(path))
        case ForkNode():
            fork.open_fork(draft, node, path, reference)
        case RouteNode():
            route.open_route(draft, path, reference)
        case LoopNode():
            loop.open_loop(draft, path, reference)
        case ChildNode():
            child.open_child(draft, path, reference)
        case _:
            assert_never(node)


# --- moves ----------------------------------------------------------------------------


def _move(draft: Draft, cursor: Cursor) -> bool:
    """Make the cursor's move; False if the decision has no room for it."""
    wait, path = cursor.wait, cursor.path
    match wait:
        case Ended():
            successor = _graph(draft).successor(path)
            if successor is None:
                return _end_chain(draft, chain_of(path), wait.result)
            open_node(draft, successor, wait.result)
        case Listening():
            signal.consume(draft, path, wait)
        case Branching():
            _open_branch(draft, cursor)
        case Routing() | Looping() | Inside():
            reference = cursor.input
            if isinstance(wait, Looping):
                reference = loop.input_of(cursor, wait)
            first = segments(_inner_nodes(draft, cursor))[0]
            open_node(draft, join(inner_chain(cursor), first), reference)
        case Awaiting() | Sleeping() | Broken():
            pass
        case _:
            assert_never(wait)
    return True


def _open_branch(draft: Draft, cursor: Cursor) -> None:
    """Open the next branch; what follows from it comes before the one behind it."""
    place = _graph(draft).place(cursor.path)
    assert place is not None
    assert isinstance(place.node, ForkNode)
    first = fork.next_branch(draft, place.node, cursor.path)
    if first is not None:
        draft.touched.append(chain_of(cursor.path))
        open_node(draft, first, cursor.input)


def _inner_nodes(draft: Draft, cursor: Cursor) -> tuple[Node, ...]:
    place = _graph(draft).place(cursor.path)
    assert place is not None
    match place.node:
        case RouteNode():
            assert isinstance(cursor.wait, Routing)
            return route.chain_for(place.node, cursor.wait.branch)
        case LoopNode():
            return place.node.body
        case ChildNode():
            return place.node.chain
        case TaskNode() | DelayNode() | SignalNode() | ForkNode():
            raise HistoryError(f"expected a container at {cursor.path!r}")
        case _:
            assert_never(place.node)


def _end_chain(draft: Draft, chain: str, result: str) -> bool:
    """A chain has ended with `result`: what is around it goes on, or the run ends."""
    graph = _graph(draft)
    inside = graph.container(chain)
    if inside is None:
        output = resolve(draft.rows, graph, result)
        if draft.full(len(output)):
            return False
        draft.emit(WorkflowCompleted(output=output))
        return True
    match inside.node:
        case ForkNode():
            fork.complete_branch(draft, inside.path, inside.branch, result)
        case RouteNode():
            route.complete_branch(draft, inside.path, inside.branch, result)
        case LoopNode():
            if draft.full(len(resolve(draft.rows, graph, result))):
                return False
            loop.iterate(draft, graph, inside, inside.node, result)
        case ChildNode():
            child.complete(draft, inside.path, result)
        case _:
            assert_never(inside.node)
    return True


def _apply_requests(draft: Draft) -> None:
    header = _known(draft)
    if not is_held(header) or not is_request_owed(draft.rows, draft.now_ms):
        return
    if draft.full():
        draft.cut = True
        return
    if header.cancel is not None:
        draft.emit(
            WorkflowCancelled(
                reason=header.cancel.reason,
                requested_by=header.cancel.requested_by,
                interrupted_at=_interrupted(draft),
            )
        )
    elif header.pause is not None:
        draft.emit(
            WorkflowPaused(
                reason=header.pause.reason, requested_by=header.pause.requested_by
            )
        )


def _interrupted(draft: Draft) -> tuple[str, ...]:
    graph = _graph(draft)
    paths = [
        cursor.path
        for _, cursor in get_cursors(draft.rows)
        if isinstance(cursor.wait, Awaiting | Sleeping | Listening)
    ]
    paths.sort(key=graph.order)
    return tuple(paths[: draft.limits.interrupted_paths])


def _known(draft: Draft) -> Header:
    header = draft.header
    assert header is not None
    return header


def _graph(draft: Draft) -> Graph:
    assert draft.graph is not None
    return draft.graph

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

from sayiir_es.core.definition import segments
from sayiir_es.core.errors import HistoryError
from sayiir_es.core.events import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
)
from sayiir_es.core.graph import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.moves import (
    inner_chain,
    is_held,
    is_move,
    is_request_owed,
    order,
)
from sayiir_es.core.nodes import child, delay, fork, loop, route, signal, task
from sayiir_es.core.paths import join
from sayiir_es.core.references import resolve
from sayiir_es.core.rows import (
    TERMINAL,
    Cursor,
    Header,
    chain_of,
    cursor,
    cursors,
)
from sayiir_es.core.waits import (
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

if TYPE_CHECKING:
    from sayiir_es.core.definition import Graph
    from sayiir_es.core.draft import Draft


def settle(draft: Draft) -> None:
    """Make the moves that are owed, as far as the decision has room."""
    while draft.touched:
        known = _known(draft)
        if known.phase in TERMINAL:
            break
        standing = cursor(draft.rows, draft.touched.pop())
        if standing is None:
            continue
        if isinstance(standing.wait, Broken) and known.cancel is None:
            # Never cut: a failure and the end of its run are one decision.
            fail(draft, standing.path, standing.wait)
        elif is_move(draft.rows, known, standing) and (
            draft.full() or not _move(draft, standing)
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


def _move(draft: Draft, standing: Cursor) -> bool:
    """Make the cursor's move; False if the decision has no room for it."""
    wait, path = standing.wait, standing.path
    match wait:
        case Ended():
            successor = _graph(draft).successor(path)
            if successor is None:
                return _end_chain(draft, chain_of(path), wait.result)
            open_node(draft, successor, wait.result)
        case Listening():
            signal.consume(draft, path, wait)
        case Branching():
            _open_branch(draft, standing)
        case Routing() | Looping() | Inside():
            reference = standing.input
            if isinstance(wait, Looping):
                reference = loop.input_of(standing, wait)
            first = segments(_inner_nodes(draft, standing))[0]
            open_node(draft, join(inner_chain(standing), first), reference)
        case Awaiting() | Sleeping() | Broken():
            pass
        case _:
            assert_never(wait)
    return True


def _open_branch(draft: Draft, standing: Cursor) -> None:
    """Open the next branch; what follows from it comes before the one behind it."""
    place = _graph(draft).place(standing.path)
    assert place is not None
    assert isinstance(place.node, ForkNode)
    first = fork.next_branch(draft, place.node, standing.path)
    if first is not None:
        draft.touched.append(chain_of(standing.path))
        open_node(draft, first, standing.input)


def _inner_nodes(draft: Draft, standing: Cursor) -> tuple[Node, ...]:
    place = _graph(draft).place(standing.path)
    assert place is not None
    match place.node:
        case RouteNode():
            assert isinstance(standing.wait, Routing)
            return route.chain_for(place.node, standing.wait.branch)
        case LoopNode():
            return place.node.body
        case ChildNode():
            return place.node.chain
        case TaskNode() | DelayNode() | SignalNode() | ForkNode():
            raise HistoryError(f"expected a container at {standing.path!r}")
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
    known = _known(draft)
    if not is_held(known) or not is_request_owed(draft.rows, draft.now_ms):
        return
    if draft.full():
        draft.cut = True
        return
    if known.cancel is not None:
        draft.emit(
            WorkflowCancelled(
                reason=known.cancel.reason,
                requested_by=known.cancel.requested_by,
                interrupted_at=_interrupted(draft),
            )
        )
    elif known.pause is not None:
        draft.emit(
            WorkflowPaused(
                reason=known.pause.reason, requested_by=known.pause.requested_by
            )
        )


def _interrupted(draft: Draft) -> tuple[str, ...]:
    graph = _graph(draft)
    paths = [
        standing.path
        for _, standing in cursors(draft.rows)
        if isinstance(standing.wait, Awaiting | Sleeping | Listening)
    ]
    paths.sort(key=lambda path: order(graph, path))
    return tuple(paths[: draft.limits.interrupted_paths])


def _known(draft: Draft) -> Header:
    known = draft.header
    assert known is not None
    return known


def _graph(draft: Draft) -> Graph:
    assert draft.graph is not None
    return draft.graph

"""A fork: branches side by side, each with its own cursor; then the join.

`ForkStarted` names the branches; each opens with its own first event, depth first.
`BranchCompleted` records the reference of a branch's result and counts: a join counts,
it never scans. The last one ends the fork, whose result is `joined:FORK`, and the join,
an ordinary task, opens in the same decision. The first failure fails the workflow at
once; its path says in which branch. One parked branch holds no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import first_path, inner_chains
from sayiir_es.core.graph.nodes import ForkNode
from sayiir_es.core.graph.paths import join
from sayiir_es.core.graph.references import JOINED, ROUTED
from sayiir_es.core.model.events import BranchCompleted, ForkStarted
from sayiir_es.core.model.rows import (
    Changes,
    Cursor,
    Rows,
    chain_of,
    get_cursor,
    get_text,
)
from sayiir_es.core.model.waits import Branching, Ended, Routing
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_fork(draft: Draft, node: ForkNode, path: str, reference: str) -> None:
    """The cursor arrives; the moves into its branches are owed."""
    names = tuple(segment for segment, _ in inner_chains(node))
    draft.emit(ForkStarted(path=path, branches=names, input=reference))
    draft.touched.append(chain_of(path))


def may_have_unopened(_rows: Rows, _cursor: Cursor, _wait: Branching) -> bool:
    """Whether a branch may be unopened; the move itself finds out."""
    return True


def open_branch(draft: Draft, cursor: Cursor, _wait: Branching) -> Opening | None:
    """The next branch begins; what follows from it comes before the one behind it."""
    node = draft.graph.node(cursor.path, ForkNode)
    first = next_branch(draft, node, cursor.path)
    if first is None:
        return None
    draft.touched.append(chain_of(cursor.path))
    return Opening(path=first, reference=cursor.input)


def next_branch(draft: Draft, node: ForkNode, path: str) -> str | None:
    """The path of the first node of the next branch to open; None if all are open.

    The draft remembers how far it came, so that opening all takes one pass.
    """
    branches = draft.branches_of(path, node)
    for number in range(draft.opened.get(path, 0), len(branches)):
        segment, chain = branches[number]
        prefix = join(path, segment)
        if not is_open(draft.rows, prefix):
            draft.opened[path] = number + 1
            return first_path(prefix, chain)
    draft.opened[path] = len(branches)
    return None


def is_open(rows: Rows, chain: str) -> bool:
    """Whether a branch has begun: it stands somewhere, or has ended."""
    return (
        get_cursor(rows, chain) is not None or get_text(rows, "x" + chain) is not None
    )


def end_chain(draft: Draft, container: Container, result: str) -> None:
    """A branch's chain has ended; the last one ends the fork."""
    path = container.path
    draft.emit(BranchCompleted(path=path, branch=container.branch, result=result))
    cursor = get_cursor(draft.rows, chain_of(path))
    if cursor is not None and isinstance(cursor.wait, Ended):
        draft.touched.append(chain_of(path))


# --- evolve ---------------------------------------------------------------------------


def fold_started(
    _rows: Rows, _event: Event, body: ForkStarted, _header: Header
) -> Changes:
    """The chain's cursor waits for the branches."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path,
            input=body.input,
            wait=Branching(left=len(body.branches)),
        )
    }


def fold_branch(
    rows: Rows, _event: Event, body: BranchCompleted, _header: Header
) -> Changes:
    """A branch of a fork or route ended: its cursor goes, its result is kept."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    changes: Changes = {"c" + join(body.path, body.branch): None}
    wait = cursor.wait
    if isinstance(wait, Branching):
        changes["x" + join(body.path, body.branch)] = body.result
        left = wait.left - 1
        after = Branching(left=left) if left else Ended(result=JOINED + body.path)
    elif isinstance(wait, Routing):
        changes["x" + body.path] = body.result
        after = Ended(result=ROUTED + body.path)
    else:
        return {}
    changes["c" + chain] = Cursor(path=body.path, input=cursor.input, wait=after)
    return changes


FORK = NodeKind(node=ForkNode, open=open_fork, end_chain=end_chain)
BRANCHING = WaitKind(wait=Branching, is_owed=may_have_unopened, move=open_branch)
EVENTS = (
    EventKind(event=ForkStarted, fold=fold_started, references=("input",)),
    EventKind(event=BranchCompleted, fold=fold_branch, references=("result",)),
)

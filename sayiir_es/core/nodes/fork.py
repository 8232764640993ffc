"""A fork: branches side by side, each with its own cursor; then the join.

`ForkStarted` names the branches; each opens with its own first event, depth first.
`BranchCompleted` records the reference of a branch's result and counts: a join counts,
it never scans. The last one ends the fork, whose result is `joined:FORK`, and the join,
an ordinary task, opens in the same decision. The first failure fails the workflow at
once; its path says in which branch. One parked branch holds no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import inner_chains, segments
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

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import ForkNode


# --- decide ---------------------------------------------------------------------------


def open_fork(draft: Draft, node: ForkNode, path: str, reference: str) -> None:
    """The cursor arrives; its branches are for `settle` to open."""
    names = tuple(segment for segment, _ in inner_chains(node))
    draft.emit(ForkStarted(path=path, branches=names, input=reference))
    draft.touched.append(chain_of(path))


def next_branch(draft: Draft, node: ForkNode, path: str) -> str | None:
    """The path of the first node of the next branch to open; None if all are open.

    The draft remembers how far it came, so that opening all takes one pass.
    """
    names = draft.branches_of(path, node)
    for number in range(draft.opened.get(path, 0), len(names)):
        segment, chain = names[number]
        prefix = join(path, segment)
        if not is_open(draft.rows, prefix):
            draft.opened[path] = number + 1
            return join(prefix, segments(chain)[0])
    draft.opened[path] = len(names)
    return None


def is_open(rows: Rows, chain: str) -> bool:
    """Whether a branch has begun: it stands somewhere, or has ended."""
    return (
        get_cursor(rows, chain) is not None or get_text(rows, "x" + chain) is not None
    )


def complete_branch(draft: Draft, path: str, branch: str, result: str) -> None:
    """A branch's chain has ended; the last one ends the fork."""
    draft.emit(BranchCompleted(path=path, branch=branch, result=result))
    cursor = get_cursor(draft.rows, chain_of(path))
    if cursor is not None and isinstance(cursor.wait, Ended):
        draft.touched.append(chain_of(path))


# --- evolve ---------------------------------------------------------------------------


def fold_started(body: ForkStarted) -> Changes:
    """The chain's cursor waits for the branches."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path,
            input=body.input,
            wait=Branching(left=len(body.branches)),
        )
    }


def fold_branch(rows: Rows, body: BranchCompleted) -> Changes:
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

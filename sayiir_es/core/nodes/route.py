"""A route: a key function chooses one branch, once.

The key function is an attempt at the route's own path, without retries or time-out. Its
outcome is `RouteChosen`, recorded before anything of the branch runs and never asked
again. The branch gets what flowed in; what flows on is the envelope
`{"branch": key, "result": …}`, spliced from recorded bytes. A key that no branch takes,
or that is no string, fails the workflow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import DEFAULT_BRANCH, encode_segment
from sayiir_es.core.model.events import BranchCompleted, PositionUpdated, RouteChosen
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Awaiting, Routing
from sayiir_es.core.nodes import task

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import Node, RouteNode
    from sayiir_es.core.model.inputs import Outcome


# --- decide ---------------------------------------------------------------------------


def open_route(draft: Draft, path: str, reference: str) -> None:
    """The cursor arrives: the key function is due."""
    draft.emit(PositionUpdated(path=path, attempt=1, input=reference))


def record(draft: Draft, node: RouteNode, outcome: Outcome) -> None:
    """The key function ended: choose a branch, or fail."""
    if outcome.result != "completed":
        task.record(draft, None, outcome)
        return
    key = key_of(outcome.output or b"")
    if key is None:
        wrong = (
            f"Failed to decode input for task {node.id!r} (expected String (branch "
            f"key)): {(outcome.output or b'')[:80]!r}"
        )
        _fail(draft, outcome, "decode", wrong)
        return
    branch = branch_for(node, key)
    if branch is None:
        wrong = f"Branch node {node.id!r}: no branch matches key {key!r}"
        _fail(draft, outcome, "no_branch", wrong)
        return
    draft.emit(RouteChosen(path=outcome.path, key=key, branch=branch))
    draft.touched.append(chain_of(outcome.path))


def key_of(output: bytes) -> str | None:
    """The key that a key function returned; None if it is no string."""
    try:
        key: object = json.loads(output)
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def branch_for(node: RouteNode, key: str) -> str | None:
    """The path segment of the branch that a key takes; None if none does."""
    if any(branch.name == key for branch in node.branches):
        return encode_segment(key)
    return DEFAULT_BRANCH if node.default is not None else None


def chain_for(node: RouteNode, branch: str) -> tuple[Node, ...]:
    """The chain of a branch, by its path segment."""
    if branch == DEFAULT_BRANCH and node.default is not None:
        return node.default
    for found in node.branches:
        if encode_segment(found.name) == branch:
            return found.chain
    return ()


def complete_branch(draft: Draft, path: str, branch: str, result: str) -> None:
    """The branch's chain has ended, and with it the route."""
    draft.emit(BranchCompleted(path=path, branch=branch, result=result))
    draft.touched.append(chain_of(path))


def _fail(draft: Draft, outcome: Outcome, error_type: str, error: str) -> None:
    failed = replace(
        outcome,
        result="failed",
        output=None,
        error_type=error_type,
        error=error,
        retriable=False,
    )
    task.record(draft, None, failed)


# --- evolve ---------------------------------------------------------------------------


def fold_chosen(rows: Rows, body: RouteChosen) -> Changes:
    """The cursor waits for the branch; the key is kept for the envelope."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if (
        cursor is None
        or cursor.path != body.path
        or not isinstance(cursor.wait, Awaiting)
    ):
        return {}
    return {
        "y" + body.path: body.key,
        "c" + chain: Cursor(
            path=body.path,
            input=cursor.input,
            wait=Routing(key=body.key, branch=body.branch),
        ),
    }

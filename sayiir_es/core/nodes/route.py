"""A route: a key function chooses one branch, once.

The key function is an attempt at the route's own path, without retries or time-out. Its
outcome is `RouteChosen`, recorded before anything of the branch runs; it is not called
again. The branch gets what flowed in; what flows on is the envelope
`{"branch": key, "result": …}`, spliced from recorded bytes. A key that no branch takes,
or that is no string, fails the workflow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import first_path
from sayiir_es.core.graph.nodes import Node, RouteNode
from sayiir_es.core.graph.paths import DEFAULT_BRANCH, encode_segment, join
from sayiir_es.core.model.events import BranchCompleted, PositionUpdated, RouteChosen
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Awaiting, Routing
from sayiir_es.core.nodes import task
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_route(draft: Draft, _node: RouteNode, path: str, reference: str) -> None:
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
    """The key that a key function returned; None if it is no string.

    Read strictly: JSON in UTF-8, and text that UTF-8 can carry. What does not begin as
    a string is not looked into, so nothing nested is ever read.
    """
    if not output.lstrip(b" \t\r\n").startswith(b'"'):
        return None
    try:
        key: object = json.loads(output.decode())
        text = key if isinstance(key, str) else None
        return None if text is None else text.encode().decode()
    except ValueError:  # no UTF-8, no JSON, or a lone surrogate
        return None


def branch_for(node: RouteNode, key: str) -> str | None:
    """The path segment of the branch that a key takes; None if none does."""
    if any(branch.name == key for branch in node.branches):
        return encode_segment(key)
    return DEFAULT_BRANCH if node.default is not None else None


def chain_for(node: RouteNode, branch: str) -> tuple[Node, ...]:
    """The chain of a branch, by its path segment."""
    if branch == DEFAULT_BRANCH and node.default is not None:
        return node.default
    for option in node.branches:
        if encode_segment(option.name) == branch:
            return option.chain
    return ()


def is_unopened(rows: Rows, cursor: Cursor, wait: Routing) -> bool:
    """Whether the chosen branch has no cursor yet."""
    return get_cursor(rows, join(cursor.path, wait.branch)) is None


def enter(draft: Draft, cursor: Cursor, wait: Routing) -> Opening:
    """The chosen branch begins with what flowed in."""
    chain = chain_for(draft.graph.node(cursor.path, RouteNode), wait.branch)
    prefix = join(cursor.path, wait.branch)
    return Opening(path=first_path(prefix, chain), reference=cursor.input)


def end_chain(draft: Draft, container: Container, result: str) -> None:
    """The branch's chain has ended, and with it the route."""
    path = container.path
    draft.emit(BranchCompleted(path=path, branch=container.branch, result=result))
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


def fold_chosen(
    rows: Rows, _event: Event, body: RouteChosen, _header: Header
) -> Changes:
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


ROUTE = NodeKind(node=RouteNode, open=open_route, end_chain=end_chain)
ROUTING = WaitKind(wait=Routing, is_owed=is_unopened, move=enter)
EVENTS = (EventKind(event=RouteChosen, fold=fold_chosen),)

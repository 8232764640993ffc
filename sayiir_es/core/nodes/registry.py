"""Every kind of node and of wait, and the events of nodes: what `kinds` asks, answered.

A new construct is entered here, and nowhere else above its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.waits import Broken, Ended, Granting
from sayiir_es.core.nodes import (
    child,
    compensation,
    debounce,
    delay,
    fork,
    loop,
    route,
    run_deadline,
    run_permit,
    signal,
    start_child,
    task,
    try_node,
)
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, WaitKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.rows import Cursor, Rows
    from sayiir_es.core.model.waits import Wait


def _is_always_owed(_rows: Rows, _cursor: Cursor, _wait: Ended) -> bool:
    return True


ENDED = WaitKind(wait=Ended, is_owed=_is_always_owed)
"""The end of any node. Its move leaves the node, so `advance` makes it."""

BROKEN = WaitKind(wait=Broken)
"""The failure of any node. `advance` has it caught, or ends the run; only a cancel
comes before that."""


def _grants_at(wait: Granting) -> int:
    return wait.due_at


GRANTING = WaitKind(
    wait=Granting,
    may_owe=False,
    wakes_at=_grants_at,
    fires_at=_grants_at,
    is_timer_held=False,
)
"""The timer of a limit, which has no nodes: `decide.limits` says what it does."""

# `Any`: each kind is checked against its own class where it is made.
NODES: Mapping[type[Node], NodeKind[Any]] = {
    kind.node: kind
    for kind in (
        task.TASK,
        delay.DELAY,
        signal.SIGNAL,
        fork.FORK,
        route.ROUTE,
        loop.LOOP,
        child.CHILD,
        start_child.START_CHILD,
        try_node.TRY,
    )
}

WAITS: Mapping[type[Wait], WaitKind[Any]] = {
    kind.wait: kind
    for kind in (
        task.AWAITING,
        delay.SLEEPING,
        signal.LISTENING,
        fork.BRANCHING,
        route.ROUTING,
        loop.LOOPING,
        child.INSIDE,
        start_child.AWAITING_CHILD,
        start_child.REQUESTING_CHILD,
        try_node.TRYING,
        run_deadline.RUN_DEADLINE,
        run_permit.AWAITING_RUN_PERMIT,
        run_permit.HOLDING_RUN_PERMIT,
        debounce.DEBOUNCING,
        GRANTING,
        ENDED,
        BROKEN,
    )
}

NODE_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for construct in (
        *(task, delay, signal, fork, route, loop, child, start_child),
        *(try_node, compensation),
    )
    for kind in construct.EVENTS
}

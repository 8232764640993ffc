"""Nodes of a flow from the options that people write: checked, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.authoring.loop_result import OnMax
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.duration import Duration, duration_ms
from sayiir_es.core.graph.child_ids import wrong_template
from sayiir_es.core.graph.nodes import LoopNode, SignalNode, StartChildNode
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import Node, OnMaxName, OnTimeout


def signal_node(
    signal: str,
    name: str | None,
    timeout: Duration | None,
    on_timeout: OnTimeout,
    *,
    keep: bool,
) -> SignalNode:
    """The node of `Flow.wait_for_signal`.

    Raises:
        ValueError: if an option is out of its range.
    """
    if on_timeout not in ("null", "fail"):
        raise ValueError(f"expected on_timeout null or fail, but {on_timeout!r}")
    return SignalNode(
        id=name or signal,
        signal=signal,
        timeout_ms=None if timeout is None else duration_ms(timeout, what="timeout"),
        on_timeout=on_timeout,
        keep_input=keep,
    )


def on_max_name(on_max: str | OnMax) -> OnMaxName:
    """The policy of a loop that ran as often as it may.

    Raises:
        ValueError: if it is none.
    """
    policy = on_max.value if isinstance(on_max, OnMax) else on_max
    if policy not in ("fail", "exit_with_last"):
        raise ValueError(
            f"Invalid on_max policy: {on_max!r}. Use 'fail' or 'exit_with_last'."
        )
    return "fail" if policy == "fail" else "exit_with_last"


def loop_node(
    loop_id: str, body: tuple[Node, ...], max_iterations: int, on_max: OnMaxName
) -> LoopNode:
    """The node of `Flow.loop`.

    Raises:
        ValueError: if there is no iteration.
    """
    if max_iterations < 1:
        raise ValueError(f"Loop '{loop_id}': max_iterations must be at least 1")
    return LoopNode(id=loop_id, body=body, max_iterations=max_iterations, on_max=on_max)


def start_child_node(
    workflow: object,
    *,
    name: str | None,
    child_id: str,
    waits: bool,
    on_parent_end: str,
) -> StartChildNode:
    """The node of `Flow.start_child`.

    Raises:
        TypeError: if the workflow is neither a workflow nor a name.
        ValueError: if an option is out of its range.
    """
    if isinstance(workflow, Workflow):
        started, version = workflow.graph.name, workflow.graph.version
    elif isinstance(workflow, str):
        started, version = workflow, None
    else:
        raise TypeError(
            f"expected a workflow or its name, but {type(workflow).__name__}"
        )
    limit = DEFAULT_LIMITS.id_bytes
    if not 0 < len(started.encode()) <= limit:
        raise ValueError(
            f"expected the name of a workflow of 1 to {limit} bytes, but "
            f"{started!r:.100}"
        )
    if on_parent_end not in ("cancel", "leave"):
        raise ValueError(
            f"expected on_parent_end cancel or leave, but {on_parent_end!r}"
        )
    wrong = wrong_template(child_id)
    if wrong is not None:
        raise ValueError(f"expected as id {wrong}, but {child_id!r:.300}")
    return StartChildNode(
        id=name or f"start_{started}",
        workflow=started,
        version=version,
        child_id=child_id,
        waits=waits,
        on_parent_end="cancel" if on_parent_end == "cancel" else "leave",
    )

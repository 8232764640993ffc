"""`FlowBuilder`: a graph built from ids alone; the functions come when it is run.

This is what Sayiir's own builder is behind its `Flow`. Its workflows run by an engine's
`run(workflow, …, task_registry)`, where the registry maps ids to functions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.steps import Step
from sayiir_es.core.authoring.workflow import UnboundTask
from sayiir_es.core.graph.nodes import ChildNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.authoring.loop_result import OnMax
    from sayiir_es.core.authoring.tasks import TaskMetadata
    from sayiir_es.core.authoring.workflow import BuiltBuilder, Workflow

NamedTask: TypeAlias = "tuple[str, TaskMetadata | None]"


class FlowBuilder:
    """A graph that is being built; each method adds a node at the end of its chain."""

    def __init__(self, name: str) -> None:
        self._flow = Flow(name)

    def next_lambda_id(self) -> str:
        """An id for a function without a name: `lambda_0`, then `lambda_1`."""
        return self._flow.names.next("lambda")

    def then(self, task_id: str, metadata: TaskMetadata | None = None) -> None:
        """Add a task."""
        self._flow.then(UnboundTask(task_id, metadata))

    def delay(self, delay_id: str, seconds: float) -> None:
        """Add a delay.

        Raises:
            ValueError: if it is negative or not finite.
        """
        self._flow.delay(delay_id, seconds)

    def wait_for_signal(
        self, signal_id: str, signal_name: str, timeout_secs: float | None = None
    ) -> None:
        """Add a wait; `signal_id` is the node's id.

        Raises:
            ValueError: if the time-out is negative or not finite.
        """
        self._flow.wait_for_signal(signal_name, name=signal_id, timeout=timeout_secs)

    def add_fork(
        self,
        branches: Sequence[Sequence[NamedTask]],
        join_id: str,
        join_metadata: TaskMetadata | None = None,
    ) -> None:
        """Add a fork and the task that joins its branches.

        Raises:
            ValueError: if there is no branch, or one is empty.
        """
        fork = self._flow.fork()
        for branch in branches:
            fork.branch(*_unbound(branch))
        fork.join(UnboundTask(join_id, join_metadata))

    def add_branch(
        self,
        branches: Sequence[tuple[str, Sequence[NamedTask]]],
        default: Sequence[NamedTask] | None = None,
    ) -> str:
        """Add a route, and return its id; its key function is `<id>::key_fn`.

        Raises:
            ValueError: if a branch is empty.
        """
        key_fn = UnboundTask("")
        route = self._flow.route(key_fn, keys=[key for key, _ in branches])
        for key, branch in branches:
            route.branch(key, *_unbound(branch))
        if default is not None:
            route.default_branch(*_unbound(default))
        route.done()
        return self._last_id

    def add_loop(
        self,
        body_task_id: str,
        body_metadata: TaskMetadata | None = None,
        max_iterations: int = 10,
        on_max: str | OnMax = "fail",
    ) -> str:
        """Add a loop around one task, and return its id.

        Raises:
            ValueError: if `on_max` is neither `fail` nor `exit_with_last`.
        """
        body = UnboundTask(body_task_id, body_metadata)
        self._flow.loop(body, max_iterations=max_iterations, on_max=on_max)
        return self._last_id

    def add_child_workflow(
        self, child_id: str, child_builder: FlowBuilder | BuiltBuilder
    ) -> None:
        """Add another builder's chain as a child of that id."""
        child = child_builder.build()
        self._flow.refuse_inside(child.graph)
        node = ChildNode(
            id=child_id, workflow=child.graph.name, chain=child.graph.chain
        )
        self._flow.steps.append(Step(node=node, functions=dict(child.functions)))

    def set_metadata_json(self, json: str) -> None:
        """Set the workflow's metadata, as JSON text.

        Raises:
            ValueError: if it is not a JSON object.
        """
        self._flow.set_metadata(_json_object(json))

    def build(self) -> Workflow:
        """Check the whole and give the workflow.

        Raises:
            ValueError: if anything is wrong with it; all of it is reported at once.
        """
        return self._flow.build()

    @property
    def _last_id(self) -> str:
        return self._flow.steps[-1].node.id


def _unbound(tasks: Sequence[NamedTask]) -> list[UnboundTask]:
    return [UnboundTask(task_id, metadata) for task_id, metadata in tasks]


def _json_object(text: str) -> dict[str, object]:
    value: object = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, but {text[:64]!r}")  # noqa: TRY004 (Sayiir raises it for all that is wrong with metadata)
    return {str(key): item for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON

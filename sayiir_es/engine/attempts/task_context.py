"""`get_task_context`: what a running task may know about itself."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sayiir_es.core.authoring.tasks import TaskMetadata
from sayiir_es.core.fast_frozen import with_maker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.core.graph.nodes import TaskNode

MaybeNone: TypeAlias = Any
"""For type checkers: None at times, which few callers must look for."""


@with_maker
@dataclass(slots=True, kw_only=True, repr=False)
class TaskExecutionContext:
    """Of one attempt.

    Attributes:
        workflow_id: The workflow's name.
        instance_id: The instance.
        task_id: The task's id.
        node: The task as the graph holds it.
        workflow_metadata: The mapping given to `Flow(metadata=…)`, or None.
        attempt: Starts at 1.
        deadline_at: When the attempt is timed out, in epoch milliseconds, or None.
        run: Which run under this instance id, from 1; a retry begins the next one.
        idempotency_key: The same for all attempts of this execution, also after a retry
            of the instance: hand it to other systems, so that a repeated effect is
            recognised. Instance id, run of the start, path with iterations.
        cancelled: Whether the workflow was asked to be cancelled meanwhile.
        on_heartbeat: Who is told of heartbeats; of no concern to tasks.
    """

    workflow_id: str
    instance_id: str
    task_id: str
    node: TaskNode
    workflow_metadata: Mapping[str, object] | None
    attempt: int
    deadline_at: int | None
    idempotency_key: str
    run: int = 1
    cancelled: bool = field(default=False)
    on_heartbeat: Callable[[object], None] | None = field(default=None, compare=False)

    def heartbeat(self, details: object = None) -> None:
        """Tell that the task goes on; what for `heartbeat_timeout` is waited for.

        `details` say how far it is: what an executor elsewhere tells the owner.
        """
        if self.on_heartbeat is not None:
            self.on_heartbeat(details)

    @property
    def metadata(self) -> TaskMetadata:
        """The task's options; display name and description stand in no graph."""
        return TaskMetadata.of(self.node)

    def __repr__(self) -> str:
        return (
            f"TaskExecutionContext(workflow_id={self.workflow_id!r}, "
            f"instance_id={self.instance_id!r}, task_id={self.task_id!r})"
        )


CONTEXT: ContextVar[TaskExecutionContext | None] = ContextVar(
    "sayiir_task_context", default=None
)


def get_task_context() -> TaskExecutionContext | MaybeNone:
    """The context of the attempt that calls this; None outside of one.

    A task may use it without looking: type checkers take `get_task_context().attempt`.
    """
    return CONTEXT.get()

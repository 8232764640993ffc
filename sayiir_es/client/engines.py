"""`WorkflowEngine` and `DurableEngine`: the engines of `sayiir`, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client import calls
from sayiir_es.client.async_calls import GIVER
from sayiir_es.client.backends import Backend, backend_of
from sayiir_es.client.commands import conflict_policy as policy_of
from sayiir_es.client.simple_engine import run_simply
from sayiir_es.core.authoring.resources import bind_resources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.authoring.workflow import Workflow


class WorkflowEngine:
    """Runs workflows in this process, without persistence."""

    def run(
        self,
        workflow: Workflow,
        input: object,  # noqa: A002 - Sayiir's name
        task_registry: Mapping[str, Function] | None = None,
        *,
        resources: Mapping[str, object] | None = None,
    ) -> object:
        """Run a workflow and return its output.

        A workflow has its functions; a `task_registry` replaces them, by id.

        Raises:
            TaskError: if a task failed, or it waits for a signal.
            DeserializationError: if a construct got what it does not take.
            ResourceError: if a task names what is not among `resources`.
        """
        bound = workflow.with_functions(task_registry)
        return run_simply(bind_resources(bound, resources, giver=GIVER), input)

    def __repr__(self) -> str:
        return "WorkflowEngine()"


class DurableEngine:
    """Runs workflows on a backend."""

    def __init__(
        self, backend: Backend | str, conflict_policy: str | None = None
    ) -> None:
        self._backend = backend_of(self, backend)
        policy_of(conflict_policy)  # refused here rather than at the first run
        self._policy = conflict_policy

    def run(
        self,
        workflow: Workflow,
        instance_id: str | UUID,
        input: object,  # noqa: A002 - Sayiir's name
        task_registry: Mapping[str, Function] | None = None,
        *,
        resources: Mapping[str, object] | None = None,
    ) -> WorkflowStatus:
        """Start an instance and run it until it has ended or is parked."""
        bound = workflow.with_functions(task_registry)
        return calls.run_durable_workflow(
            bound,
            instance_id,
            input,
            self._backend,
            self._policy,
            resources=resources,
        )

    def resume(
        self,
        workflow: Workflow,
        instance_id: str | UUID,
        task_registry: Mapping[str, Function] | None = None,
        *,
        resources: Mapping[str, object] | None = None,
    ) -> WorkflowStatus:
        """Run an instance on until it has ended or is parked."""
        bound = workflow.with_functions(task_registry)
        return calls.resume_workflow(
            bound, instance_id, self._backend, resources=resources
        )

    def cancel(
        self,
        instance_id: str | UUID,
        reason: str | None = None,
        cancelled_by: str | None = None,
    ) -> None:
        """Cancel an instance."""
        calls.cancel_workflow(instance_id, self._backend, reason, cancelled_by)

    def pause(
        self,
        instance_id: str | UUID,
        reason: str | None = None,
        paused_by: str | None = None,
    ) -> None:
        """Pause an instance."""
        calls.pause_workflow(instance_id, self._backend, reason, paused_by)

    def unpause(self, instance_id: str | UUID) -> None:
        """Let a paused instance go on."""
        calls.unpause_workflow(instance_id, self._backend)

    def send_signal(
        self, instance_id: str | UUID, signal_name: str, payload: object
    ) -> None:
        """Send a signal."""
        calls.send_signal(instance_id, signal_name, payload, self._backend)

    def __repr__(self) -> str:
        return f"DurableEngine({self._backend.url!r})"

"""The functions that users of `sayiir` know: run, resume, cancel, pause, signal.

Each is synchronous; code that runs an event loop prefers `sayiir_es.aio`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client import control, requests
from sayiir_es.client.backends import Backend, InMemoryBackend, borrowed
from sayiir_es.client.simple_engine import run_simply

if TYPE_CHECKING:
    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.flow import Workflow


def run_workflow(
    workflow: Workflow,
    input_data: object,
    *,
    instance_id: str | None = None,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
) -> object:
    """Run a workflow and return its output.

    Without an `instance_id` it runs in this process, without persistence. With one it
    is durable.

    Raises:
        TaskError: without persistence, if a task failed.
        WorkflowError: with an instance id, if it did not complete.
    """
    if instance_id is None:
        return run_simply(workflow, input_data)
    status = run_durable_workflow(
        workflow, instance_id, input_data, backend, conflict_policy
    )
    return requests.output_of(status)


def run_durable_workflow(
    workflow: Workflow,
    instance_id: str,
    input_data: object,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
) -> WorkflowStatus:
    """Start an instance and run it until it has ended or is parked.

    Without a backend it runs in memory and is gone afterwards. A failed task does not
    raise: the status says so.

    Raises:
        InstanceAlreadyExistsError: if it exists and the policy is `fail`.
        WorkflowError: if the id or the definition does not do.
        BackendError: if the log does not answer.
    """
    policy = requests.conflict_policy(conflict_policy)
    if backend is None:
        with InMemoryBackend() as fresh:
            return fresh.thread.call(
                requests.run_durable(
                    fresh.session, workflow, instance_id, input_data, policy
                )
            )
    with borrowed(backend) as used:
        return used.thread.call(
            requests.run_durable(
                used.session, workflow, instance_id, input_data, policy
            )
        )


def resume_workflow(
    workflow: Workflow, instance_id: str, backend: Backend | str
) -> WorkflowStatus:
    """Run an instance on until it has ended or is parked; safe at any time.

    Raises:
        BackendError: if there is no instance of that id.
        WorkflowError: if it was started with another definition.
    """
    with borrowed(backend) as used:
        return used.thread.call(requests.resume(used.session, workflow, instance_id))


def cancel_workflow(
    instance_id: str,
    backend: Backend | str,
    reason: str | None = None,
    cancelled_by: str | None = None,
) -> None:
    """Cancel an instance.

    Raises:
        BackendError: if there is none, or it has completed or failed.
    """
    with borrowed(backend) as used:
        used.thread.call(
            control.cancel(used.session, instance_id, reason, cancelled_by)
        )


def pause_workflow(
    instance_id: str,
    backend: Backend | str,
    reason: str | None = None,
    paused_by: str | None = None,
) -> None:
    """Pause an instance.

    Raises:
        BackendError: if there is none, or it has ended.
    """
    with borrowed(backend) as used:
        used.thread.call(control.pause(used.session, instance_id, reason, paused_by))


def unpause_workflow(instance_id: str, backend: Backend | str) -> None:
    """Let a paused instance go on; `resume_workflow` then runs it.

    Raises:
        BackendError: if there is none, or it is not paused.
    """
    with borrowed(backend) as used:
        used.thread.call(control.unpause(used.session, instance_id))


def send_signal(
    instance_id: str, signal_name: str, payload: object, backend: Backend | str
) -> None:
    """Send a signal, buffered until a wait takes it; silent for an ended instance."""
    with borrowed(backend) as used:
        used.thread.call(
            control.send_signal(
                used.session, instance_id, signal_name, payload, loud=False
            )
        )

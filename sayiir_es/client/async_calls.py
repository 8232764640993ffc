"""The functions that users of `sayiir` know, as coroutines; see `sayiir_es.aio`.

Theory of operation. A session belongs to the event loop that opened it, so each backend
object has one for each loop, opened at first use and kept until `aclose` or the end of
the loop. A backend runs synchronous calls on a loop of its own: there they share
`Backend.session`. A file that a function is given as a URL is opened at first use, too,
and kept for a while behind the last call. Others are opened for that call only: each
URL in memory is a log of its own; and a loop that ends cancels all tasks, those of
connections to Kafka too, so that nobody could leave the group any more.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sayiir_es.client import control, runs
from sayiir_es.client.backends import Backend, EmbeddedBackend, as_backend
from sayiir_es.client.commands import conflict_policy as policy_of
from sayiir_es.client.direct_engine import run_directly_on_loop
from sayiir_es.client.kept_sessions import KeptSessions
from sayiir_es.client.loop_sessions import LoopSessions
from sayiir_es.client.simple_engine import run_on_this_loop
from sayiir_es.core.authoring.resources import bind_resources

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from uuid import UUID

    from sayiir_es.client.session import Session
    from sayiir_es.client.workflow_status import WorkflowStatus
    from sayiir_es.core.authoring.workflow import Workflow

_sessions = LoopSessions()
_url_sessions = KeptSessions()

MEMORY_URL = "memory:"
"""Names a log of its own for each call."""

GIVER = "resources="
"""What an error calls the place where a call's resources come from."""


async def run_workflow(
    workflow: Workflow,
    input_data: object,
    *,
    instance_id: str | UUID | None = None,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
    resources: Mapping[str, object] | None = None,
) -> object:
    """Run a workflow and return its output.

    Without an `instance_id` it runs in this process, without persistence; a coroutine
    runs it on its own event loop. With one it is durable.

    Raises:
        TaskError: without persistence, if a task failed.
        WorkflowError: with an instance id, if it did not complete.
        ResourceError: if a task names what is not among `resources`.
    """
    workflow = bind_resources(workflow, resources, giver=GIVER)
    if instance_id is None:
        return await run_on_this_loop(workflow, input_data)
    return runs.output_of(
        await run_durable_workflow(
            workflow, instance_id, input_data, backend, conflict_policy
        )
    )


async def run_durable_workflow(
    workflow: Workflow,
    instance_id: str | UUID,
    input_data: object,
    backend: Backend | str | None = None,
    conflict_policy: str | None = None,
    *,
    resources: Mapping[str, object] | None = None,
) -> WorkflowStatus:
    """Start an instance and run it until it has ended or is parked.

    Without a backend it runs in memory and is gone afterwards. A failed task does not
    raise: the status says so.

    Raises:
        InstanceAlreadyExistsError: if it exists and the policy is `fail`.
        WorkflowError: if the id does not do.
        BackendError: if the log does not answer.
        ResourceError: if a task names what is not among `resources`.
    """
    workflow = bind_resources(workflow, resources, giver=GIVER)
    policy = policy_of(conflict_policy)
    if backend is None or backend == MEMORY_URL:
        status = await run_directly_on_loop(workflow, instance_id, input_data, policy)
        if status is not None:
            return status
    async with _session(MEMORY_URL if backend is None else backend) as session:
        return await runs.run_durable(
            session, workflow, instance_id, input_data, policy
        )


async def resume_workflow(
    workflow: Workflow,
    instance_id: str | UUID,
    backend: Backend | str,
    *,
    resources: Mapping[str, object] | None = None,
) -> WorkflowStatus:
    """Run an instance on until it has ended or is parked; safe at any time.

    Raises:
        InstanceNotFoundError: if there is no instance of that id.
        WorkflowError: if it was started with another definition.
        ResourceError: if a task names what is not among `resources`.
    """
    workflow = bind_resources(workflow, resources, giver=GIVER)
    async with _session(backend) as session:
        return await runs.resume(session, workflow, instance_id)


async def cancel_workflow(
    instance_id: str | UUID,
    backend: Backend | str,
    reason: str | None = None,
    cancelled_by: str | None = None,
) -> None:
    """Cancel an instance.

    Raises:
        InstanceNotFoundError: if there is none.
        CommandRefusedError: if it has completed or failed.
    """
    async with _session(backend) as session:
        await control.cancel(session, instance_id, reason, cancelled_by)


async def pause_workflow(
    instance_id: str | UUID,
    backend: Backend | str,
    reason: str | None = None,
    paused_by: str | None = None,
) -> None:
    """Pause an instance.

    Raises:
        InstanceNotFoundError: if there is none.
        CommandRefusedError: if it has ended.
    """
    async with _session(backend) as session:
        await control.pause(session, instance_id, reason, paused_by)


async def unpause_workflow(instance_id: str | UUID, backend: Backend | str) -> None:
    """Let a paused instance go on; `resume_workflow` then runs it.

    Raises:
        InstanceNotFoundError: if there is none.
        CommandRefusedError: if it is not paused.
    """
    async with _session(backend) as session:
        await control.unpause(session, instance_id)


async def send_signal(
    instance_id: str | UUID, signal_name: str, payload: object, backend: Backend | str
) -> None:
    """Send a signal, buffered until a wait takes it; silent for an ended instance."""
    async with _session(backend) as session:
        await control.send_signal(
            session, instance_id, signal_name, payload, raises_if_ended=False
        )


async def aclose(backend: Backend | None = None) -> None:
    """Close this loop's session on a backend, or on all; the backends stay usable."""
    await _sessions.close(backend)
    if backend is None:
        await _url_sessions.close()


@asynccontextmanager
async def _session(backend: Backend | str) -> AsyncGenerator[Session]:
    """This loop's session on a backend; that of a file's URL stays open for a while."""
    if isinstance(backend, Backend):
        yield _session_of_this_loop(backend)
        return
    made = as_backend(backend)
    if isinstance(made, EmbeddedBackend):
        async with _url_sessions.use(made) as session:
            yield session
        return
    session = made.new_session()
    try:
        yield session
    finally:
        await session.close()
        made.close()


def _session_of_this_loop(backend: Backend) -> Session:
    if backend.is_on_thread():
        return backend.session
    return _sessions.get(backend)

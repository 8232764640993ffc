"""`WorkflowClient`: start, look at and steer instances, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from sayiir_es.client import control, requests, search
from sayiir_es.client.backends import Backend, as_backend
from sayiir_es.client.search import LISTED, Criteria
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.model.commands import ConflictPolicy


class WorkflowClient:
    """A client of a backend, or of the backend that a URL names.

    Synchronous; code that runs an event loop prefers `sayiir_es.aio`. On `memory:` and
    `file:` a call owns the log for the call when nobody does: it decides, and runs
    nothing. On Kafka it waits 30 s for an owner.
    """

    def __init__(
        self, backend: Backend | str, *, conflict_policy: str | None = None
    ) -> None:
        self._backend = as_backend(backend)
        self._policy: ConflictPolicy = requests.conflict_policy(conflict_policy)

    def submit(
        self,
        workflow: Workflow | str,
        instance_id: str,
        input: object = None,  # noqa: A002 - Sayiir's name
        *,
        attributes: Mapping[str, str] | None = None,
    ) -> WorkflowStatus:
        """Start an instance of a workflow, or of a published one by its name.

        `attributes` are names and values to search by; they never change.
        Returns when the log has acknowledged the owner's decision.

        Raises:
            InstanceAlreadyExistsError: if it exists and the policy is `fail`.
            WorkflowError: if the id or the definition does not do.
            BackendError: if no worker answered in 30 s.
        """
        backend = self._backend
        return backend.thread.call(
            requests.submit(
                backend.session, workflow, instance_id, input, self._policy, attributes
            )
        )

    def status(self, instance_id: str) -> WorkflowStatus:
        """The status of an instance; reads its own writes.

        Raises:
            BackendError: if there is no instance of that id.
        """
        backend = self._backend

        async def read() -> WorkflowStatus:
            return workflow_status(await backend.session.status(instance_id))

        return backend.thread.call(read())

    def wait(
        self, instance_id: str, timeout: float | str | timedelta | None = None
    ) -> WorkflowStatus:
        """Wait until an instance has ended; `timeout` in seconds, or as "30s".

        Raises:
            TimeoutError: if it did not end in time.
            BackendError: if there is no instance of that id.
        """
        backend = self._backend
        timeout_s = None if timeout is None else duration_ms(timeout) / 1000

        async def read() -> WorkflowStatus:
            return workflow_status(
                await backend.session.wait(instance_id, timeout_s=timeout_s)
            )

        return backend.thread.call(read())

    def list(
        self, *, limit: int = LISTED, **criteria: Unpack[Criteria]
    ) -> tuple[WorkflowStatus, ...]:
        """The instances that were started (or `by="updated"`) last, of those meant.

        `client.list(status="failed", attributes={"customer": "42"}, since="24h")`; see
        `Criteria`. Reads its own writes: what this client was told is in the answer.

        Raises:
            ValueError: if a status or a time is none.
        """
        backend = self._backend
        return backend.thread.call(search.listed(backend.session, criteria, limit))

    def count(self, **criteria: Unpack[Criteria]) -> int:
        """How many instances there are of those meant; as `list`.

        Raises:
            ValueError: if a status or a time is none.
        """
        backend = self._backend
        return backend.thread.call(search.count(backend.session, criteria))

    def send_signal(
        self,
        instance_id: str,
        signal_name: str,
        payload: object = None,
        *,
        signal_id: str | None = None,
    ) -> None:
        """Send a signal; `signal_id` makes it idempotent.

        Raises:
            BackendError: if the instance has ended.
        """
        backend = self._backend
        backend.thread.call(
            control.send_signal(
                backend.session,
                instance_id,
                signal_name,
                payload,
                signal_id=signal_id,
            )
        )

    def cancel(
        self,
        instance_id: str,
        *,
        reason: str | None = None,
        cancelled_by: str | None = None,
    ) -> None:
        """Cancel an instance; it ends when nothing runs any more.

        Raises:
            BackendError: if there is none, or it has completed or failed.
        """
        backend = self._backend
        backend.thread.call(
            control.cancel(backend.session, instance_id, reason, cancelled_by)
        )

    def pause(
        self,
        instance_id: str,
        *,
        reason: str | None = None,
        paused_by: str | None = None,
    ) -> None:
        """Pause an instance; what runs may end first.

        Raises:
            BackendError: if there is none, or it has ended.
        """
        backend = self._backend
        backend.thread.call(
            control.pause(backend.session, instance_id, reason, paused_by)
        )

    def unpause(self, instance_id: str) -> None:
        """Let a paused instance go on.

        Raises:
            BackendError: if there is none, or it is not paused.
        """
        backend = self._backend
        backend.thread.call(control.unpause(backend.session, instance_id))

    def retry(self, instance_id: str) -> None:
        """Let a failed instance go on from the node that failed, as its next run.

        What had ended keeps its result; attempts count from 1 again, and their
        `idempotency_key` is another, as the run is.

        Raises:
            BackendError: if there is none, or it has not failed.
        """
        backend = self._backend
        backend.thread.call(control.retry(backend.session, instance_id))

    def fork(self, instance_id: str, *, at: int, new_id: str) -> WorkflowStatus:
        """Begin a new instance with the history of another one, up to an event.

        What its events 1 to `at` recorded is recorded again under `new_id`, which goes
        on from there by itself; the other one does not change. Attempts that had begun
        there are due afresh, times that have passed come due at once.

        Raises:
            InstanceAlreadyExistsError: if `new_id` exists.
            BackendError: if there is no such event, or no run yet at it, or the history
                up to it takes more than 512 KiB.
            WorkflowError: if an id or `at`, which starts at 1, does not do.
        """
        backend = self._backend
        return backend.thread.call(
            control.fork(backend.session, instance_id, at, new_id)
        )

    def get_task_result(self, instance_id: str, task_id: str) -> object:
        """The result of a task, or None where it has none (yet).

        Raises:
            BackendError: if there is no instance of that id.
        """
        backend = self._backend
        return backend.thread.call(
            requests.task_result(backend.session, instance_id, task_id)
        )

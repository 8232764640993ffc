"""`aio.WorkflowClient`: start, look at and steer instances on one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from sayiir_es.client import control, requests, search
from sayiir_es.client.backends import Backend, as_backend
from sayiir_es.client.search import LISTED, Criteria
from sayiir_es.client.session import Session
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from types import TracebackType

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import ConflictPolicy


class WorkflowClient:
    """A client of a backend, or of the backend that a URL names, on one event loop.

    As `sayiir_es.WorkflowClient`, but its methods are coroutines. It has a session of
    its own from the first call to `aclose`; an asynchronous context manager.
    """

    def __init__(
        self, backend: Backend | str, *, conflict_policy: str | None = None
    ) -> None:
        self._backend = as_backend(backend)
        self._made_backend = isinstance(backend, str)
        self._policy: ConflictPolicy = requests.conflict_policy(conflict_policy)
        self._opened: Session | None = None

    async def submit(
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
        return await requests.submit(
            self._session, workflow, instance_id, input, self._policy, attributes
        )

    async def status(self, instance_id: str) -> WorkflowStatus:
        """The status of an instance; reads its own writes.

        Raises:
            BackendError: if there is no instance of that id.
        """
        return workflow_status(await self._session.status(instance_id))

    async def wait(
        self,
        instance_id: str,
        timeout: float | str | timedelta | None = None,  # noqa: ASYNC109 - Sayiir's name
    ) -> WorkflowStatus:
        """Wait until an instance has ended; `timeout` in seconds, or as "30s".

        Raises:
            TimeoutError: if it did not end in time.
            BackendError: if there is no instance of that id.
        """
        limit_s = None if timeout is None else duration_ms(timeout) / 1000
        found = await self._session.wait(instance_id, timeout_s=limit_s)
        return workflow_status(found)

    async def list(
        self, *, limit: int = LISTED, **criteria: Unpack[Criteria]
    ) -> tuple[WorkflowStatus, ...]:
        """The instances that were started (or `by="updated"`) last, of those meant.

        `await client.list(status="failed", attributes={"customer": "42"})`; see
        `Criteria`. Reads its own writes: what this client was told is in the answer.

        Raises:
            ValueError: if a status or a time is none.
        """
        return await search.listed(self._session, criteria, limit)

    async def count(self, **criteria: Unpack[Criteria]) -> int:
        """How many instances there are of those meant; as `list`.

        Raises:
            ValueError: if a status or a time is none.
        """
        return await search.count(self._session, criteria)

    async def send_signal(
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
        await control.send_signal(
            self._session, instance_id, signal_name, payload, signal_id=signal_id
        )

    async def cancel(
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
        await control.cancel(self._session, instance_id, reason, cancelled_by)

    async def pause(
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
        await control.pause(self._session, instance_id, reason, paused_by)

    async def unpause(self, instance_id: str) -> None:
        """Let a paused instance go on.

        Raises:
            BackendError: if there is none, or it is not paused.
        """
        await control.unpause(self._session, instance_id)

    async def retry(self, instance_id: str) -> None:
        """Let a failed instance go on from the node that failed, as its next run.

        Raises:
            BackendError: if there is none, or it has not failed.
        """
        await control.retry(self._session, instance_id)

    async def fork(self, instance_id: str, *, at: int, new_id: str) -> WorkflowStatus:
        """Begin a new instance with the history of another one, up to an event.

        Raises:
            InstanceAlreadyExistsError: if `new_id` exists.
            BackendError: if there is no such event, or no run yet at it, or the history
                up to it takes more than 512 KiB.
            WorkflowError: if an id or `at`, which starts at 1, does not do.
        """
        return await control.fork(self._session, instance_id, at, new_id)

    async def get_task_result(self, instance_id: str, task_id: str) -> object:
        """The result of a task, or None where it has none (yet); raises as `status`."""
        return await requests.task_result(self._session, instance_id, task_id)

    async def aclose(self) -> None:
        """Close the session; the next call opens another."""
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()
        if self._made_backend:
            self._backend.close()

    @property
    def _session(self) -> Session:
        if self._opened is None:
            self._opened = Session(self._backend)
        return self._opened

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

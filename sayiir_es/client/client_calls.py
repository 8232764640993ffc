"""What a client can do with instances, each call once, as a coroutine.

`aio.WorkflowClient` inherits these methods. The synchronous `WorkflowClient` runs them
on the event loop of its backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from sayiir_es.client import control, runs, search
from sayiir_es.client.search import LIST_LIMIT, Criteria
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import ConflictPolicy


class ClientCalls:
    """The calls of a client over the session that `get_session` returns."""

    def __init__(
        self, get_session: Callable[[], Session], policy: ConflictPolicy
    ) -> None:
        self._get_session = get_session
        self._policy: ConflictPolicy = policy

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
        return await runs.submit(
            self._get_session(), workflow, instance_id, input, self._policy, attributes
        )

    async def status(self, instance_id: str) -> WorkflowStatus:
        """The status of an instance; reads its own writes.

        Raises:
            BackendError: if there is no instance of that id.
        """
        return workflow_status(await self._get_session().get_status(instance_id))

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
        timeout_s = None if timeout is None else duration_ms(timeout) / 1000
        return workflow_status(
            await self._get_session().wait(instance_id, timeout_s=timeout_s)
        )

    async def list(
        self, *, limit: int = LIST_LIMIT, **criteria: Unpack[Criteria]
    ) -> tuple[WorkflowStatus, ...]:
        """The matching instances that were started (or `by="updated"`) last.

        `list(status="failed", attributes={"customer": "42"}, since="24h")`; see
        `Criteria`. Reads its own writes: what this client did is in the answer.

        Raises:
            ValueError: if a status or a time is none.
        """
        return await search.list_instances(self._get_session(), criteria, limit)

    async def count(self, **criteria: Unpack[Criteria]) -> int:
        """How many instances match; criteria as for `list`.

        Raises:
            ValueError: if a status or a time is none.
        """
        return await search.count_instances(self._get_session(), criteria)

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
            self._get_session(),
            instance_id,
            signal_name,
            payload,
            signal_id=signal_id,
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
        await control.cancel(self._get_session(), instance_id, reason, cancelled_by)

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
        await control.pause(self._get_session(), instance_id, reason, paused_by)

    async def unpause(self, instance_id: str) -> None:
        """Let a paused instance go on.

        Raises:
            BackendError: if there is none, or it is not paused.
        """
        await control.unpause(self._get_session(), instance_id)

    async def retry(self, instance_id: str) -> None:
        """Let a failed instance go on from the node that failed, as its next run.

        What had ended keeps its result; attempts count from 1 again, and their
        `idempotency_key` is another, as the run is.

        Raises:
            BackendError: if there is none, or it has not failed.
        """
        await control.retry(self._get_session(), instance_id)

    async def fork(self, instance_id: str, *, at: int, new_id: str) -> WorkflowStatus:
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
        return await control.fork(self._get_session(), instance_id, at, new_id)

    async def get_task_result(self, instance_id: str, task_id: str) -> object:
        """The result of a task, or None where it has none (yet).

        Raises:
            BackendError: if there is no instance of that id.
        """
        return await runs.task_result(self._get_session(), instance_id, task_id)

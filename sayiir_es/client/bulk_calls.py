"""The calls of a client for many instances at once, by the criteria of a search."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Unpack

from sayiir_es.client.bulk import (
    BulkResult,
    bulk_search,
    find_ids,
    send_to_all,
)
from sayiir_es.client.commands import Migration, migration_target, new_command_id
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.client.bulk import OnProgress
    from sayiir_es.client.search import Criteria
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import Command


class BulkCalls:
    """The calls for many instances, over the session that `get_session` returns.

    Each takes the criteria of `list`, finds all that match, and sends each of them a
    command, up to 256 at a time. Instances that begin to match later are left out.
    `on_progress(answered, total)` is called for each, on the client's event loop: it
    must return soon, and may not call the client.
    """

    def __init__(self, get_session: Callable[[], Session]) -> None:
        self._get_session = get_session

    async def cancel_where(
        self,
        *,
        reason: str | None = None,
        cancelled_by: str | None = None,
        on_progress: OnProgress | None = None,
        **criteria: Unpack[Criteria],
    ) -> BulkResult:
        """Cancel all matching instances; without a `status`, those that have not ended.

        `cancel_where(workflow="orders", attributes={"customer": "42"})`. What was not
        accepted is in the result, by id, and raises nothing. `on_progress(answered,
        total)` is called on the client's event loop.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        command = partial(_cancel, reason=reason, requested_by=cancelled_by)
        return await self._send(criteria, CancelWorkflow, command, on_progress)

    async def pause_where(
        self,
        *,
        reason: str | None = None,
        paused_by: str | None = None,
        on_progress: OnProgress | None = None,
        **criteria: Unpack[Criteria],
    ) -> BulkResult:
        """Pause all matching instances; without a `status`, those that go on.

        Criteria, progress and result as for `cancel_where`.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        command = partial(_pause, reason=reason, requested_by=paused_by)
        return await self._send(criteria, PauseWorkflow, command, on_progress)

    async def unpause_where(
        self, *, on_progress: OnProgress | None = None, **criteria: Unpack[Criteria]
    ) -> BulkResult:
        """Let all matching instances go on; without a `status`, the paused ones.

        Criteria, progress and result as for `cancel_where`.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        return await self._send(criteria, UnpauseWorkflow, _unpause, on_progress)

    async def retry_where(
        self,
        *,
        reason: str | None = None,
        retried_by: str | None = None,
        on_progress: OnProgress | None = None,
        **criteria: Unpack[Criteria],
    ) -> BulkResult:
        """Let all matching instances go on from the node that failed, as `retry` does.

        `retry_where(workflow="orders", since="2h", error_type="TimeoutError")`; without
        a `status`, those that failed or are quarantined. Criteria, progress and result
        as for `cancel_where`.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        command = partial(_retry, reason=reason, requested_by=retried_by)
        return await self._send(criteria, RetryWorkflow, command, on_progress)

    async def migrate_where(
        self,
        *,
        to: str | Workflow,
        mapping: Mapping[str, str] | None = None,
        reason: str | None = None,
        migrated_by: str | None = None,
        on_progress: OnProgress | None = None,
        **criteria: Unpack[Criteria],
    ) -> BulkResult:
        """Let all matching instances go on with another graph, as `migrate` does.

        `migrate_where(to="latest", workflow="orders", status="stranded")`; without a
        `status`, those that have not ended. Criteria, progress and result as for
        `cancel_where`.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        session = self._get_session()
        if not isinstance(to, str):
            await session.publish_graph(to)
        migration = Migration(
            to=migration_target(to),
            mapping=mapping or {},
            reason=reason,
            requested_by=migrated_by,
        )
        return await self._send(
            criteria, MigrateWorkflow, migration.command, on_progress
        )

    async def signal_where(
        self,
        signal_name: str,
        payload: object = None,
        *,
        signal_id: str | None = None,
        on_progress: OnProgress | None = None,
        **criteria: Unpack[Criteria],
    ) -> BulkResult:
        """Send all matching instances a signal; without a `status`, those not ended.

        With a `signal_id` a second call sends none twice to an instance. Criteria,
        progress and result as for `cancel_where`.

        Raises:
            ValueError: if there is no criterion, or one is none.
        """
        command = partial(
            _signal,
            name=signal_name,
            payload=self._get_session().payloads.encode(payload),
            signal_id=signal_id,
        )
        return await self._send(criteria, SendSignal, command, on_progress)

    async def _send(
        self,
        criteria: Criteria,
        kind: type[Command],
        make_command: Callable[[str], Command],
        on_progress: OnProgress | None,
    ) -> BulkResult:
        search = bulk_search(criteria, kind)
        session = self._get_session()
        instance_ids = await find_ids(session, search)
        return await send_to_all(session, instance_ids, make_command, on_progress)


def _cancel(
    instance_id: str, *, reason: str | None, requested_by: str | None
) -> CancelWorkflow:
    return CancelWorkflow(
        instance_id=instance_id,
        command_id=new_command_id(),
        reason=reason,
        requested_by=requested_by,
    )


def _pause(
    instance_id: str, *, reason: str | None, requested_by: str | None
) -> PauseWorkflow:
    return PauseWorkflow(
        instance_id=instance_id,
        command_id=new_command_id(),
        reason=reason,
        requested_by=requested_by,
    )


def _unpause(instance_id: str) -> UnpauseWorkflow:
    return UnpauseWorkflow(instance_id=instance_id, command_id=new_command_id())


def _retry(
    instance_id: str, *, reason: str | None, requested_by: str | None
) -> RetryWorkflow:
    return RetryWorkflow(
        instance_id=instance_id,
        command_id=new_command_id(),
        reason=reason,
        requested_by=requested_by,
    )


def _signal(
    instance_id: str, *, name: str, payload: bytes, signal_id: str | None
) -> SendSignal:
    return SendSignal(
        instance_id=instance_id,
        command_id=new_command_id(),
        signal=name,
        payload=payload,
        signal_id=signal_id,
    )

"""What a client can do with instances, each call once, as a coroutine.

`aio.WorkflowClient` inherits these methods. The synchronous `WorkflowClient` runs them
on the event loop of its backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from sayiir_es.client import control, limits, partitions, runs, search
from sayiir_es.client.bulk_calls import BulkCalls
from sayiir_es.client.commands import Migration, migration_target
from sayiir_es.client.commands import conflict_policy as policy_of
from sayiir_es.client.debounced_starts import debounce_of
from sayiir_es.client.instance_ids import id_text
from sayiir_es.client.runs import CONCURRENT_STARTS, StartOptions
from sayiir_es.client.search import LIST_LIMIT, Criteria
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.duration import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta
    from uuid import UUID

    from sayiir_es.client.limits import LimitOptions, LimitPage
    from sayiir_es.client.partitions import PartitionStatus, WorkerStatus
    from sayiir_es.client.runs import Ack
    from sayiir_es.client.search import InstancePage
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.duration import Duration
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.status.limit_report import LimitOf, LimitReport


class ClientCalls(BulkCalls):
    """The calls of a client over the session that `get_session` returns."""

    def __init__(
        self, get_session: Callable[[], Session], policy: ConflictPolicy
    ) -> None:
        super().__init__(get_session)
        self._policy: ConflictPolicy = policy

    def _policy_of(self, name: str | None) -> ConflictPolicy:
        return self._policy if name is None else policy_of(name)

    async def submit(  # noqa: PLR0913 (one parameter an option)
        self,
        workflow: Workflow | str,
        instance_id: str | UUID,
        input: object = None,  # noqa: A002 - Sayiir's name
        *,
        attributes: Mapping[str, str] | None = None,
        conflict_policy: str | None = None,
        command_id: str | UUID | None = None,
        version: str | None = None,
        timeout: float | str | timedelta | None = None,  # noqa: ASYNC109 - as `wait`
        wait: bool = False,
        ack: Ack = "owner",
        debounce: Duration | None = None,
        debounce_key: str | None = None,
        debounce_max: Duration | None = None,
    ) -> WorkflowStatus:
        """Start an instance of a workflow, or of a published one by its name.

        Returns the status when the log has acknowledged the owner's decision. With
        `wait` it returns the status at the end instead, by the same record: see `run`.
        With `ack="log"` it returns as soon as the start itself is durable: no worker is
        needed, the status is `submitted`, and a refusal shows in the events only.

        Args:
            workflow: Needs no code where it is a name.
            instance_id: A `uuid.UUID` is taken as its text.
            input: A JSON value.
            attributes: Names and values to search by; they never change.
            conflict_policy: `fail`, `use_existing` or `terminate_existing`; that of the
                client when left out.
            command_id: Makes it idempotent: a second start of this instance with the
                same one changes nothing.
            version: Which version of the name; the greatest one when left out. A
                workflow object starts its own.
            timeout: How long to wait for the owner's answer, in seconds or as "30s";
                30 s when left out. With `wait` how long for the end.
            wait: Whether to wait until it has ended.
            ack: Who acknowledges the start: the `owner`, or only the `log`.
            debounce: Start once no other start came under the key for so long, in
                seconds or as "5s": it would take the place of this one. The status is
                `submitted` until then.
            debounce_key: Which starts of the workflow are one burst; all when left out.
            debounce_max: The longest that a burst keeps its last start waiting.

        Raises:
            InstanceAlreadyExistsError: if it exists and the policy is `fail`.
            WorkflowError: if an id does not do, or nobody published the workflow.
            NoWorkerError: if no worker is there to answer in time; the start stays, and
                is decided later.
            BackendError: if no worker answered in time; the start stays too.
            TimeoutError: with `wait`, if it did not end in time.
            TypeError: if an id is neither a str nor a `uuid.UUID`.
            ValueError: if options do not go together, or are none.
        """
        options = StartOptions(
            policy=self._policy_of(conflict_policy),
            attributes=attributes or {},
            command_id=None
            if command_id is None
            else id_text(command_id, "command_id"),
            timeout_s=_seconds(timeout),
            wait=wait,
            ack=ack,
            version=version,
            debounce=debounce_of(debounce, debounce_key, debounce_max),
        )
        session = self._get_session()
        return await runs.submit(session, workflow, instance_id, input, options)

    async def run(  # noqa: PLR0913 (one parameter an option)
        self,
        workflow: Workflow | str,
        instance_id: str | UUID,
        input: object = None,  # noqa: A002 - Sayiir's name
        *,
        timeout: float | str | timedelta | None = None,  # noqa: ASYNC109 - as `wait`
        conflict_policy: str | None = None,
        attributes: Mapping[str, str] | None = None,
        command_id: str | UUID | None = None,
        version: str | None = None,
    ) -> WorkflowStatus:
        """Start an instance and wait until it has ended, by one record on the log.

        A worker runs it. The same as `submit(…, wait=True)`: one that failed does not
        raise, and one that exists is waited for under `use_existing`.

        Raises:
            TimeoutError: if it did not end within `timeout`, in seconds or as "30s"; it
                goes on.
            NoWorkerError: if no worker is there to answer in time.
            InstanceAlreadyExistsError: if it exists and the policy is `fail`.
            QueueFullError: if as many runs of the workflow wait as may; it has failed.
            WorkflowError: as `submit`.
            TypeError: as `submit`.
        """
        return await self.submit(
            workflow,
            instance_id,
            input,
            attributes=attributes,
            conflict_policy=conflict_policy,
            command_id=command_id,
            version=version,
            timeout=timeout,
            wait=True,
        )

    async def submit_many(  # noqa: PLR0913 (one parameter an option)
        self,
        workflow: Workflow | str,
        starts: Iterable[tuple[str | UUID, object]],
        *,
        attributes: Mapping[str, str] | None = None,
        conflict_policy: str | None = None,
        version: str | None = None,
        timeout: float | str | timedelta | None = None,  # noqa: ASYNC109 - as `wait`
        wait: bool = False,
        ack: Ack = "owner",
        max_concurrent: int = CONCURRENT_STARTS,
    ) -> tuple[WorkflowStatus, ...]:
        """Start many instances of a workflow; the statuses in the order of the starts.

        `starts` are pairs of an instance id and an input. At most `max_concurrent` are
        on their way at a time, and share requests to the log. All are tried, whatever
        becomes of some. The other parameters are those of `submit`, for each start.

        Raises:
            SubmitManyError: if some failed, when all have been tried; its `errors` are
                the id and the error of each of these.
            TypeError: if an id is neither a str nor a `uuid.UUID`; nothing is started.
            ValueError: if `max_concurrent` is below 1.
        """
        options = StartOptions(
            policy=self._policy_of(conflict_policy),
            attributes=attributes or {},
            timeout_s=_seconds(timeout),
            wait=wait,
            ack=ack,
            version=version,
        )
        session = self._get_session()
        return await runs.submit_many(
            session, workflow, starts, options, max_concurrent
        )

    async def status(self, instance_id: str | UUID) -> WorkflowStatus:
        """The status of an instance; reads its own writes.

        Raises:
            InstanceNotFoundError: if there is no instance of that id.
        """
        session = self._get_session()
        status = await session.get_status(id_text(instance_id))
        return workflow_status(status, session.payloads)

    async def wait(
        self,
        instance_id: str | UUID,
        timeout: float | str | timedelta | None = None,  # noqa: ASYNC109 - Sayiir's name
    ) -> WorkflowStatus:
        """Wait until an instance has ended; `timeout` in seconds, or as "30s".

        Raises:
            TimeoutError: if it did not end in time.
            InstanceNotFoundError: if there is no instance of that id.
        """
        session, timeout_s = self._get_session(), _seconds(timeout)
        status = await session.wait(id_text(instance_id), timeout_s=timeout_s)
        return workflow_status(status, session.payloads)

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

    async def list_page(
        self,
        *,
        limit: int = LIST_LIMIT,
        token: str | None = None,
        within: float | str | timedelta | None = None,
        **criteria: Unpack[Criteria],
    ) -> InstancePage:
        """A page of what `list` finds: at most `limit` instances.

        The page's `next_token`, given as `token` with the same criteria, brings the
        next page; it is None at the end. Each page is as of its own moment: what starts
        meanwhile stands before the first page.

        To find the few of a million that match takes seconds. With `within` (seconds,
        or as "100ms") the page ends when each owner has looked for so long: it may have
        fewer instances, or none, and is `is_partial`; the next page looks on.

        Raises:
            ValueError: as `list`, or if the token is none.
        """
        session, within_s = self._get_session(), _seconds(within)
        if within_s is None:
            return await search.list_page(session, criteria, limit, token)
        within_ms = max(1, round(within_s * 1000))
        return await search.list_within(session, criteria, limit, token, within_ms)

    async def count(self, **criteria: Unpack[Criteria]) -> int:
        """How many instances match; criteria as for `list`.

        Raises:
            ValueError: if a status or a time is none.
        """
        return await search.count_instances(self._get_session(), criteria)

    async def count_by(
        self, group: str, /, **criteria: Unpack[Criteria]
    ) -> dict[str, int]:
        """How many instances match, by `status`, `workflow`, `error_type` or wait.

        `count_by("waiting_for")` counts by what they wait for, such as
        `signal:approval`: one that waits for several counts several times, and what
        waits for nothing under the empty text. The largest group comes first.

        Raises:
            ValueError: as `list`, or if there is no such group.
        """
        return await search.count_groups(self._get_session(), criteria, group)

    async def count_errors(
        self, **criteria: Unpack[Criteria]
    ) -> tuple[search.ErrorGroup, ...]:
        """How many instances failed, or stand still, by what error in which node.

        The most first; `list(error_type=…, error_in=…)` finds those of a group.

        Raises:
            ValueError: as `list`.
        """
        return await search.count_errors(self._get_session(), criteria)

    async def partitions(self, *, counts: bool = False) -> tuple[PartitionStatus, ...]:
        """Every partition: its owner, how far it is, what runs, and what is wrong.

        Each owner is asked, all at once; one that does not answer within some seconds
        is told by `trouble` and `fix`. With `counts` each says how many instances it
        has by status, for which it looks at all of them.

        Raises:
            LogUnavailableError: if the log does not answer.
        """
        return await partitions.describe_partitions(self._get_session(), counts=counts)

    async def workers(self) -> tuple[WorkerStatus, ...]:
        """Every worker: its partitions, what it can run and what it runs now.

        Raises:
            LogUnavailableError: if the log does not answer.
        """
        return await partitions.describe_workers(self._get_session())

    async def limits(
        self,
        *,
        limit: int = limits.PAGE_LIMITS,
        after: str | None = None,
        of: LimitOf | None = None,
    ) -> LimitPage:
        """A page of the limits that are in use, waited for, or set, by key.

        Limits of attempts first, then start queues, which are limits of runs; with `of`
        those of `"attempts"` or `"runs"` alone. `limit` is how many at most, 1 to 200;
        `after` says where the page begins: `next_after` of the page before.

        Raises:
            ValueError: if `limit` or `after` is out of its range.
            LogUnavailableError: if the log does not answer.
        """
        return await limits.list_limits(self._get_session(), limit, after, of)

    async def get_limit(self, key: str, *, of: LimitOf = "attempts") -> LimitReport:
        """The limit of a concurrency key: how much is in use, who has it, who waits.

        With `of="runs"` the start queue of a workflow: its key is the workflow's name,
        and behind a `/` what `queue_key` makes.

        Raises:
            ValueError: if it is no key.
            LogUnavailableError: if the log does not answer.
        """
        instance_id = limits.checked_id(key, of)
        return await limits.get_limit(self._get_session(), instance_id)

    async def set_limit(
        self,
        key: str,
        *,
        of: LimitOf = "attempts",
        reason: str | None = None,
        set_by: str | None = None,
        **numbers: Unpack[LimitOptions],
    ) -> LimitReport:
        """Set a limit at once, and return it as it is then.

        Of attempts, `max_concurrency` and `rate` are set, a text such as "10/s burst
        20"; with `of="runs"` how many runs go on, `max_running`, and how many others
        wait, `queue_length`. What is None is as the tasks say it, or the workflow. With
        0 of `max_concurrency` or `max_running` nothing begins; what runs goes on.

        Raises:
            ValueError: if one of them is out of its range, or of the other kind.
            NoWorkerError: if nobody decides.
        """
        instance_id = limits.checked_id(key, of)
        wanted = limits.LimitNumbers(**numbers)
        setting = limits.limit_setting(instance_id, wanted, reason, set_by)
        return await limits.set_limit(self._get_session(), setting)

    async def send_signal(
        self,
        instance_id: str | UUID,
        signal_name: str,
        payload: object = None,
        *,
        signal_id: str | None = None,
    ) -> None:
        """Send a signal; `signal_id` makes it idempotent.

        It is buffered until a wait takes it, also where the instance is not there yet.

        Raises:
            CommandRefusedError: if the instance has ended.
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
        instance_id: str | UUID,
        *,
        reason: str | None = None,
        cancelled_by: str | None = None,
    ) -> None:
        """Cancel an instance; it ends when nothing runs any more.

        Raises:
            InstanceNotFoundError: if there is none.
            CommandRefusedError: if it has completed or failed.
        """
        await control.cancel(self._get_session(), instance_id, reason, cancelled_by)

    async def pause(
        self,
        instance_id: str | UUID,
        *,
        reason: str | None = None,
        paused_by: str | None = None,
    ) -> None:
        """Pause an instance; what runs may end first.

        Raises:
            InstanceNotFoundError: if there is none.
            CommandRefusedError: if it has ended.
        """
        await control.pause(self._get_session(), instance_id, reason, paused_by)

    async def unpause(self, instance_id: str | UUID) -> None:
        """Let a paused instance go on.

        Raises:
            InstanceNotFoundError: if there is none.
            CommandRefusedError: if it is not paused.
        """
        await control.unpause(self._get_session(), instance_id)

    async def retry(
        self,
        instance_id: str | UUID,
        *,
        input: object = control.UNCHANGED,  # noqa: A002 (as `submit` names it)
        reason: str | None = None,
        retried_by: str | None = None,
    ) -> None:
        """Let a failed instance go on from the node that failed, as its next run.

        What had ended keeps its result. Attempts count from 1 again and keep their
        `idempotency_key`. With an `input` the node that failed gets this one in place
        of its own. Events tell the input, the reason and who asked.

        Raises:
            InstanceNotFoundError: if there is none.
            CommandRefusedError: if it has not failed.
            WorkflowError: if there is an `input`, and what failed takes none.
        """
        session = self._get_session()
        await control.retry(session, instance_id, input, reason, retried_by)

    async def migrate(
        self,
        instance_id: str | UUID,
        *,
        to: str | Workflow,
        mapping: Mapping[str, str] | None = None,
        reason: str | None = None,
        migrated_by: str | None = None,
    ) -> WorkflowStatus:
        """Let an instance go on with another graph of its workflow.

        All that it holds must have a place there, which is checked before. Without
        this, a run goes on with the graph that it began with.

        Args:
            instance_id: A `uuid.UUID` is taken as its text.
            to: A definition hash or graph digest, or at least 8 hex digits that one
                begins with; `latest`, which a start by name takes; or a workflow.
            mapping: Paths of nodes that have moved: old to new, without iterations.
            reason: Why, for people.
            migrated_by: Who asks.

        Raises:
            InstanceNotFoundError: if there is no instance of that id.
            CommandRefusedError: if something of it has no place in that graph, or if it
                has ended and not failed; the text names the path.
            WorkflowError: if there is no such graph, or a path means nothing.
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
        return await control.migrate(session, instance_id, migration)

    async def fork(
        self, instance_id: str | UUID, *, at: int, new_id: str | UUID
    ) -> WorkflowStatus:
        """Begin a new instance with the history of another one, up to an event.

        What its events 1 to `at` recorded is recorded again under `new_id`, which goes
        on from there by itself; the other one does not change. Attempts that had begun
        there are due afresh, times that have passed come due at once.

        Raises:
            InstanceAlreadyExistsError: if `new_id` exists.
            CommandRefusedError: if there is no such event, or no run yet at it, or the
                history up to it takes more than 512 KiB.
            WorkflowError: if an id or `at`, which starts at 1, does not do.
        """
        return await control.fork(self._get_session(), instance_id, at, new_id)

    async def get_task_result(self, instance_id: str | UUID, task_id: str) -> object:
        """The result of a task, or None where it has none (yet).

        Raises:
            InstanceNotFoundError: if there is no instance of that id.
        """
        return await runs.task_result(self._get_session(), instance_id, task_id)


def _seconds(duration: float | str | timedelta | None) -> float | None:
    return None if duration is None else duration_ms(duration) / 1000

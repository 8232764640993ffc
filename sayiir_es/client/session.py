"""A session: commands to a log and questions about it, as coroutines on one loop.

Theory of operation. A command is produced to the partition of its instance, with the
address of this client: the owner that decides on it tells what it decided. Questions go
to the owner too (`client.requests`); only where none answers does the client fold the
events itself (`client.folded_view`). Where the backend allows it (memory, one file) a
call owns the log while it lasts if nobody else does; it decides, and begins attempts of
the instance alone that it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from sayiir_es.client.folded_view import FoldedView
from sayiir_es.client.held_calls import HeldCalls
from sayiir_es.client.ownership import Ownership, check_interrupted
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.rejections import not_found
from sayiir_es.client.replies import (
    check_accepted,
    end_status,
    found_status,
    is_over,
    refusal_reason,
)
from sayiir_es.client.requests import (
    ASK_AGAIN_S,
    DECISION_AGAIN_S,
    SILENT_S,
    STILL_SILENT_S,
    WAIT_AGAIN_S,
    Requests,
)
from sayiir_es.client.sending import send_command
from sayiir_es.client.stores import ClientStores, store_identity
from sayiir_es.client.unheard_calls import UnheardCalls
from sayiir_es.client.unserved import explain
from sayiir_es.core.model.commands import SendSignal, StartWorkflow
from sayiir_es.core.model.errors import (
    BackendError,
    LogError,
    LogUnavailableError,
    NoWorkerError,
    StoreError,
    WorkflowError,
)
from sayiir_es.engine.claims import find_owner
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.requests.describing import OBSTACLE
from sayiir_es.log.port import CheckedLog
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.requests import (
    Answer,
    Decided,
    Describe,
    Described,
    FindDecision,
    FindResult,
    FoundResult,
    Refused,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sayiir_es.client.backend_port import BackendPort
    from sayiir_es.client.ownership import HeldCall
    from sayiir_es.client.requests import Call
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import LogIdentity
    from sayiir_es.wire.requests import Request

logger = get_logger(__name__)

REPLY_LIMIT_S = 30.0
"""How long a client waits for an owner; the command stays and is decided later."""

EXPLAIN_LIMIT_S = 5.0
"""How long it is looked why nobody answers."""

SERVED_LIMIT_S = 5.0
"""How long a question waits for an owner where workers are announced."""

NAME_LIMIT_S = 3.0
"""How long a start by a name waits until somebody publishes it, in seconds."""

NAME_LOOK_S = 0.05

POLL_S = 0.5
"""How often, in seconds, a wait looks after the worker of its own process."""

UNHEARD_S = 2.0
"""After how many seconds without a reply it is asked whether anybody holds a wait."""


class Session:
    """A client's connection to one log; opened at first use."""

    def __init__(self, backend: BackendPort) -> None:
        self.backend = backend
        self.payloads = backend.payloads
        self.log = backend.open_log()
        # Looked at once: a protocol is checked slowly.
        self._checked_log = self.log if isinstance(self.log, CheckedLog) else None
        self.registry = Registry()
        self.definitions = DefinitionFeed(self.log, self.registry)
        self.view = FoldedView(backend, self.log, self.registry, self.definitions)
        self._identity: LogIdentity | None = None
        self._held_calls = HeldCalls(self.log, backend.on_notice)
        self._requests = Requests(self.log, self._held_calls.look)
        self._stores = ClientStores(backend.stores())
        self._opened_stores: WeakSet[SnapshotStore] = WeakSet()
        self._opening = asyncio.Lock()
        self._ownership = Ownership(backend, self.log, self.registry, self._open_store)
        self._unheard_calls = UnheardCalls(
            self._requests.is_heard, lambda: self._ownership.hold((), None)
        )

    async def open(self, *, create: bool = False) -> None:
        """Connect, once; with `create`, for whoever begins something, make the log.

        Raises:
            LogUnavailableError: if nothing answers.
            AppNotFoundError: if there is no such log, and none may be made.
            UnsafeLogError: if it is not the log that it was; with `create` also if
                nothing new may be begun on it.
        """
        if self._identity is None:
            async with self._opening:
                if self._identity is None:
                    identity = await self.log.open(create=create)
                    self._identity = self.view.identity = identity
        if create and self._checked_log is not None:
            self._checked_log.check_writable()

    async def close(self) -> None:
        """Close everything that was opened."""
        await self._ownership.close()
        await self._requests.close()
        await self._held_calls.close()
        await self.view.close()
        self._stores.close()
        await self.definitions.close()
        await self.log.close()

    async def abandon(self) -> None:
        """Give back what others wait for, on any event loop: its own has been closed.

        On Kafka nobody waits for a client; its connections end with their objects.
        """
        for store in tuple(self._opened_stores):
            with contextlib.suppress(StoreError):
                await store.close()
        self._stores.close()
        self._ownership.abandon()
        if self.backend.owns_on_call:
            await self.log.close()

    @property
    def requests(self) -> Requests:
        """The questions of this session."""
        return self._requests

    @property
    def ownership(self) -> Ownership:
        """What this session owns."""
        return self._ownership

    @property
    def open_calls(self) -> int:
        """How many questions and commands wait for a reply: none while no call runs."""
        return self._requests.open_calls

    # --- commands ---------------------------------------------------------------------

    async def execute(
        self, command: Command, *, limit_s: float = REPLY_LIMIT_S
    ) -> Decided:
        """Produce a command and return the decision on it.

        Raises:
            NoWorkerError: if no owner answered in `limit_s` seconds and no worker is
                announced; the command stays.
            BackendError: if one is announced and did not answer.
            WorkflowError: what a rejection by the owner means.
        """
        decided = await self.send(command, limit_s=limit_s)
        check_accepted(decided, command)
        return decided

    async def send(
        self, command: Command, *, limit_s: float = REPLY_LIMIT_S
    ) -> Decided:
        """Produce a command and return the decision on it, a rejection too.

        Raises:
            BackendError: if no owner answered in time; the command stays.
        """
        # A signal may come before its instance; on one machine before the log, too.
        is_first = isinstance(command, SendSignal) and self.backend.owns_on_call
        await self.open(create=is_first or isinstance(command, StartWorkflow))
        await self._requests.open(create=True)
        partition = partition_of_instance(self.log, command.instance_id)
        call = self._requests.expect(partition)
        try:
            answer = await self.decide(command, call, limit_s)
        finally:
            self._requests.forget(call)
        if not isinstance(answer, Decided):
            raise BackendError(f"expected a decision, but {refusal_reason(answer)}")
        return answer

    async def decide(self, command: Command, call: Call, limit_s: float) -> Answer:
        """Produce a command and return the first reply to it.

        Raises:
            BackendError: if there was none in time; the command stays.
        """
        try:
            async with asyncio.timeout(None) as limit:
                self._requests.limit(call, limit, limit_s)
                if not self.backend.owns_on_call:
                    return await self._produce_and_hear(command, call)
                async with self.deciding(call.partition):
                    return await self._produce_and_hear(command, call)
        except TimeoutError as error:
            name = type(command).__name__
            raise await self.unanswered(name, call.partition, limit_s) from error
        finally:
            call.limit = None

    async def _produce_and_hear(self, command: Command, call: Call) -> Answer:
        await self.produce(command, call)
        # Where both are asked for, the decision may be lost, and the end be told.
        return await self._requests.get_first(call)

    @asynccontextmanager
    async def deciding(self, partition: int) -> AsyncGenerator[None]:
        """Own the log while inside, if the backend allows it and nobody else does.

        Whoever owns it may go meanwhile, so this is looked at again and again.
        """
        if not self.backend.owns_on_call:
            yield
            return
        has_worker = self._ownership.has_worker
        if has_worker or not self._requests.is_heard(partition):
            async with self._ownership.hold((), None):
                yield
            return
        self._unheard_calls.begin(partition)
        try:
            yield
        finally:
            await self._unheard_calls.end(partition)

    async def produce(self, command: Command, call: Call) -> None:
        """Produce a command; its decision is asked after if nobody tells it."""
        offset = await send_command(
            self.log, call.partition, command, call.address.headers()
        )
        question = FindDecision(
            instance_id=command.instance_id,
            offset=offset,
            command_id=command.command_id,
            at_least=self._requests.get_offset(call.partition),
        )
        self._requests.ask_after(call, question, again_s=DECISION_AGAIN_S)

    async def unanswered(
        self, what: str, partition: int, limit_s: float
    ) -> BackendError:
        """The error for a command that no owner answered in time.

        A `NoWorkerError` where no worker is announced, a `LogUnavailableError` where
        the log does not say.
        """
        begin = f"expected an answer to {what} within {limit_s:g} s, but "
        try:
            async with asyncio.timeout(EXPLAIN_LIMIT_S):
                await self.definitions.refresh()
                owner = await find_owner(self.log, partition)
                obstacle = await explain(self.log, self.registry, partition, owner)
        except (LogUnavailableError, TimeoutError) as error:
            return LogUnavailableError(
                f"{begin}the log does not answer ({error!r}); the command may stand "
                "there and be decided later"
            )
        except WorkflowError as error:
            return BackendError(f"{begin}{error}")
        kind = NoWorkerError if obstacle.is_without_worker else BackendError
        return kind(f"{begin}{obstacle}; the command stays and is decided later")

    async def submit(
        self,
        workflow: Workflow | str,
        start: StartWorkflow,
        *,
        limit_s: float = REPLY_LIMIT_S,
    ) -> Status:
        """Start an instance; the status after the owner's decision.

        Raises:
            InstanceAlreadyExistsError: under the policy `fail`.
            WorkflowError: as `execute`.
        """
        await self.publish(workflow, start.version)
        decided = await self.execute(start, limit_s=limit_s)
        if decided.status is None:
            return await self.get_status(start.instance_id)
        return decided.status

    async def publish(
        self, workflow: Workflow | str, version: str | None = None
    ) -> None:
        """Open the log, and publish a workflow of which something is to be started.

        A name is waited for, for a little while, in that version.
        """
        await self.open(create=True)
        if isinstance(workflow, str):
            await self.wait_for_name(workflow, version)
        else:
            await self.definitions.publish(workflow)

    async def publish_graph(self, workflow: Workflow) -> None:
        """Publish the graph of a workflow for which nothing is to be started."""
        await self.open()
        await self.definitions.publish(workflow)

    async def wait_for_name(self, workflow: str, version: str | None = None) -> None:
        """Wait a little until a workflow of that name and version is published.

        A worker that was just started may not have come to it yet. Whoever decides on a
        start of a name that never comes says that it is unknown.
        """
        await self.open(create=True)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + NAME_LIMIT_S
        while self.registry.by_name(workflow, None, version) is None:
            await self.definitions.refresh()
            is_there = self.registry.by_name(workflow, None, version) is not None
            if is_there or loop.time() > end_s:
                return
            await asyncio.sleep(NAME_LOOK_S)

    # --- questions --------------------------------------------------------------------

    async def ask(
        self, partition: int, request: Callable[[int], Request]
    ) -> Answer | None:
        """Ask the owner of a partition; None where nobody answers, or none can.

        `request` makes the question, of the offset that the answer must stand on.

        Raises:
            BackendError: if the owner answered that it cannot.
        """
        await self.open()
        if not await self._has_request_topics():
            return None
        call = self._requests.expect(partition)
        try:
            question = request(self._requests.get_offset(partition))
            if not self._requests.post(call, question, again_s=ASK_AGAIN_S):
                return None
            was_silent = self._requests.is_silent(partition)
            patience_s = STILL_SILENT_S if was_silent else SILENT_S
            if not await self._requests.is_answered(call, patience_s):
                is_served = not was_silent and await self._may_be_served()
                if not is_served or not await self._is_answered_late(call):
                    self._requests.set_silent(partition)
                    return None
            answer = call.answer
        except asyncio.CancelledError:
            self._requests.stop(call)
            raise
        finally:
            self._requests.forget(call)
        if isinstance(answer, Refused):
            raise BackendError(f"expected an answer, but {refusal_reason(answer)}")
        return answer

    async def _is_answered_late(self, call: Call) -> bool:
        """Wait as long as an owner is at work: to count a million takes it seconds."""
        while not await self._requests.is_answered(call, SERVED_LIMIT_S):
            if not self._requests.is_at_work(call, within_s=SERVED_LIMIT_S):
                return False
        return True

    async def _has_request_topics(self) -> bool:
        """Whether owners can be asked; a client that may not make topics makes none."""
        try:
            return await self._requests.open(create=False)
        except LogError:
            return False

    async def _may_be_served(self) -> bool:
        with contextlib.suppress(WorkflowError):
            await self.definitions.refresh()
        return bool(self.registry.workers())

    async def get_status(self, instance_id: str) -> Status:
        """The status of an instance.

        Raises:
            BackendError: if there is none of that id.
        """
        return found_status(await self.find_status(instance_id), instance_id)

    async def find_status(self, instance_id: str) -> Status | None:
        """The status of an instance, or None."""
        await self.open()
        partition = partition_of_instance(self.log, instance_id)
        answer = await self.ask(
            partition,
            lambda at_least: Describe(instance_id=instance_id, at_least=at_least),
        )
        if isinstance(answer, Described):
            return answer.status
        return await self.view.find_status(instance_id)

    async def get_task_result(self, instance_id: str, task_id: str) -> bytes | None:
        """The result of the first node of that id in graph order, or None.

        Raises:
            BackendError: if there is no instance of that id.
        """
        await self.open()
        partition = partition_of_instance(self.log, instance_id)
        answer = await self.ask(
            partition,
            lambda at_least: FindResult(
                instance_id=instance_id, task_id=task_id, at_least=at_least
            ),
        )
        if isinstance(answer, FoundResult):
            if not answer.exists:
                raise not_found(instance_id)
            return answer.result
        found_status(await self.view.find_status(instance_id), instance_id)
        return await self.view.find_result(instance_id, task_id)

    async def read_store(self, partition: int) -> SnapshotStore:
        """The store of a partition, folded here as of its end now."""
        await self.open()
        return await self.view.read_store(partition)

    # --- waiting ----------------------------------------------------------------------

    async def wait(
        self,
        instance_id: str,
        *,
        parked: bool = False,
        timeout_s: float | None = None,
        run: HeldCall | None = None,
    ) -> Status:
        """Wait until an instance has ended, or with `parked` until nothing runs.

        A `KeyboardInterrupt` or `SystemExit` of a task of `run` is raised.

        Raises:
            TimeoutError: if it did not within `timeout_s` seconds.
            BackendError: if there is no instance of that id.
        """
        await self.open()
        if timeout_s is None:
            return await self._wait(instance_id, parked, run)
        async with asyncio.timeout(timeout_s):
            return await self._wait(instance_id, parked, run)

    async def _wait(
        self,
        instance_id: str,
        parked: bool,  # noqa: FBT001 (as `wait` has it)
        run: HeldCall | None,
    ) -> Status:
        if not await self._has_request_topics():
            return await self._wait_by_fold(instance_id, parked, run)
        call = self._requests.expect(partition_of_instance(self.log, instance_id))
        try:
            return await self.wait_for_reply(call, instance_id, parked=parked, run=run)
        finally:
            self._requests.forget(call)

    async def wait_for_reply(
        self,
        call: Call,
        instance_id: str,
        *,
        parked: bool,
        run: HeldCall | None,
        held: bool = False,
    ) -> Status:
        """Wait for the owner's word; `held` says that it was asked for it already."""
        question = Wait(
            instance_id=instance_id,
            parked=parked,
            at_least=self._requests.get_offset(call.partition),
        )
        if held:
            self._requests.ask_after(call, question, again_s=WAIT_AGAIN_S)
            is_heard = self._requests.is_heard(call.partition)
        else:
            is_heard = self._requests.post(call, question, again_s=WAIT_AGAIN_S)
        has_worker = run is not None or self._ownership.has_worker
        look_s = POLL_S if has_worker else UNHEARD_S
        is_known = False
        requests = self._requests
        while not await requests.is_answered(call, look_s if is_heard else 0.0):
            is_heard = is_heard and self._requests.is_heard(call.partition)
            is_known = is_known and is_heard
            check_interrupted(run)
            self._ownership.check()
            if not is_known:
                # Nobody says that a wait is held: so it is asked once whether there is
                # such an instance, and an owner.
                status = found_status(await self.find_status(instance_id), instance_id)
                if is_over(status, parked=parked):
                    return status
                if run is not None and OBSTACLE in status.waiting_for:
                    _tell_kept_waiting(status)
                is_known = is_heard and not self._requests.is_silent(call.partition)
                if is_known and not (has_worker or self.backend.owns_on_call):
                    await requests.is_answered(call)
            if not is_heard:
                await self.view.wait_for_events(instance_id, max_wait_s=POLL_S)
                is_heard = self._requests.post(call, question, again_s=WAIT_AGAIN_S)
        return end_status(call.answer, instance_id)

    async def _wait_by_fold(
        self,
        instance_id: str,
        parked: bool,  # noqa: FBT001 (as `wait` has it)
        run: HeldCall | None,
    ) -> Status:
        while True:
            if await self.view.is_resting(instance_id, parked=parked):
                status = await self.get_status(instance_id)
                if is_over(status, parked=parked):
                    return status
            check_interrupted(run)
            self._ownership.check()
            await self.view.wait_for_events(instance_id, max_wait_s=POLL_S)

    # --- owning -----------------------------------------------------------------------

    @asynccontextmanager
    async def running(
        self, workflow: Workflow, instance_id: str
    ) -> AsyncGenerator[HeldCall | None]:
        """Run the attempts of an instance here while inside, if this process may own.

        Where another process owns the log, that one runs them, if it has the code.
        """
        await self.open(create=True)
        await self.definitions.publish(workflow)
        async with self._ownership.hold((workflow,), instance_id) as run:
            yield run

    async def _open_store(self, partition: int) -> SnapshotStore:
        assert self._identity is not None
        store = self._stores.open(store_identity(self._identity, partition))
        self._opened_stores.add(store)
        return store


def _tell_kept_waiting(status: Status) -> None:
    """A call runs an instance that whoever owns its partition cannot go on with."""
    logger.warning(
        "instance.kept_waiting",
        instance_id=status.instance_id,
        reason=status.waiting_for,
    )

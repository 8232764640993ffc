"""A session: commands to a log and reads of it, as coroutines on one event loop.

Theory of operation. A command is produced to the partition of its instance, and its
reply is the decision that the owner appends. Where the backend allows it (memory, one
file) a call owns the log while it lasts if nobody else does; it decides, and runs
attempts only for the workflows that it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.client.claims import find_owner
from sayiir_es.client.ownership import Ownership, check_interrupted
from sayiir_es.client.projection import Projection, partition_of_instance, read_again
from sayiir_es.client.rejections import check_instance_id, raise_rejection
from sayiir_es.client.replies import ReplyReader
from sayiir_es.client.stores import store_identity
from sayiir_es.client.unserved import explain, find_refusal
from sayiir_es.core.graph.references import result_of
from sayiir_es.core.model.errors import BackendError, WorkflowError
from sayiir_es.core.model.events import CommandRejected
from sayiir_es.core.model.rows import get_run
from sayiir_es.core.status.status import ENDED, Status, is_resting, status_of
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import encode_command_avro

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sayiir_es.client.backend_port import BackendPort
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import Command, StartWorkflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.attempts.local_executor import LocalExecutor
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import LogIdentity

REPLY_LIMIT_S = 30.0
"""How long a client waits for an owner; the command stays and is decided later."""

POLL_S = 0.5
"""How long one wait for new events of an instance lasts at most."""


class Session:
    """A client's connection to one log; opened at first use."""

    def __init__(self, backend: BackendPort) -> None:
        self.backend = backend
        self.log = backend.open_log()
        self.registry = Registry()
        self.definitions = DefinitionFeed(self.log, self.registry)
        self._identity: LogIdentity | None = None
        self._readers: dict[int, ReplyReader] = {}
        self._stores, self._views = backend.stores(), backend.views()
        self._projection = Projection(self.log, self._open_view)
        self._opening = asyncio.Lock()
        self._ownership = Ownership(backend, self.log, self.registry, self._open_store)

    async def open(self) -> None:
        """Connect, once; creates the log when there is none."""
        async with self._opening:
            if self._identity is None:
                self._identity = await self.log.open(create=True)

    async def close(self) -> None:
        """Close everything that was opened."""
        await self._ownership.close()
        for reader in self._readers.values():
            await reader.close()
        await self._projection.close()
        self._stores.close()
        self._views.close()
        await self.definitions.close()
        await self.log.close()

    # --- commands ---------------------------------------------------------------------

    async def execute(self, command: Command) -> Event:
        """Produce a command and return the first event of the decision on it.

        Raises:
            BackendError: if no owner answered in time; the command stays.
            WorkflowError: what a rejection by the owner means.
        """
        event = await self.send(command)
        if isinstance(event.body, CommandRejected):
            status = None
            if command.instance_id and event.body.code in ("terminal", "not_paused"):
                status = await self.find_status(command.instance_id)
            raise_rejection(
                event.body, command.instance_id, status.status if status else None
            )
        return event

    async def send(self, command: Command) -> Event:
        """Produce a command and return the first event of its decision, or rejection.

        Raises:
            BackendError: if no owner answered in time; the command stays.
        """
        await self.open()
        partition = partition_of_instance(self.log, command.instance_id)
        reader = self._readers.get(partition)
        if reader is None:
            reader = self._readers[partition] = ReplyReader(self.log, partition)
        await reader.expect(command.instance_id)
        try:
            offset = await self.log.produce(
                Topic.COMMANDS,
                partition,
                NewRecord(
                    key=command.instance_id.encode("utf-8", "surrogatepass"),
                    value=encode_command_avro(command),
                ),
            )
            async with asyncio.timeout(REPLY_LIMIT_S):
                return await reader.get_reply(command.instance_id, offset)
        except TimeoutError as error:
            raise BackendError(
                f"expected an answer to {type(command).__name__} within "
                f"{REPLY_LIMIT_S:.0f} s, but {await self.explain(partition)}; the "
                "command stays and is decided later"
            ) from error
        finally:
            reader.forget(command.instance_id)

    async def explain(self, partition: int) -> str:
        """Why nobody decides for a partition, and what to do: for a sentence."""
        owner = None
        with contextlib.suppress(WorkflowError):
            await self.definitions.refresh()
            owner = await find_owner(self.log, partition)
        return str(await explain(self.log, self.registry, partition, owner))

    async def submit(self, workflow: Workflow | str, start: StartWorkflow) -> Status:
        """Start an instance; the status after the owner's decision.

        Raises:
            InstanceAlreadyExistsError: under the policy `fail`.
            WorkflowError: as `execute`.
        """
        check_instance_id(start.instance_id)
        await self.open()
        if not isinstance(workflow, str):
            await self.definitions.publish(workflow)
            start = replace(
                start,
                workflow=workflow.graph.name,
                definition_hash=workflow.definition_hash,
            )
        await self.execute(start)
        return await self.get_status(start.instance_id)

    # --- reading ----------------------------------------------------------------------

    async def get_rows(self, instance_id: str) -> Rows:
        """The rows of an instance as of the end of its partition now."""
        await self.open()
        return await self._projection.get_rows(instance_id)

    async def get_status(self, instance_id: str) -> Status:
        """The status of an instance.

        Raises:
            BackendError: if there is none of that id.
        """
        status = await self.find_status(instance_id)
        if status is None:
            raise BackendError(f"Snapshot not found: {instance_id}")
        return status

    async def find_status(self, instance_id: str) -> Status | None:
        """The status of an instance, or None."""
        await self.open()
        return await read_again(lambda: self._find_status(instance_id))

    async def _find_status(self, instance_id: str) -> Status | None:
        store = await self._projection.read_to_end(
            partition_of_instance(self.log, instance_id)
        )
        run = get_run(store.rows(instance_id))
        if run is None:
            return None
        status = self.describe(store, instance_id)
        is_known = self.registry.knows(store.position.owner, run.graph_digest)
        if is_known and status is not None and status.status in ENDED:
            return status
        # What keeps it from ending may have been announced meanwhile.
        await self.definitions.refresh()
        return self.describe(store, instance_id)

    def describe(self, store: SnapshotStore, instance_id: str) -> Status | None:
        """The status of an instance in a store, by the definitions read so far."""
        rows = store.rows(instance_id)
        run = get_run(rows)
        if run is None:
            return None
        graph = self.registry.by_digest(run.graph_digest)
        status = status_of(rows, instance_id, graph)
        if status is None or status.status in ENDED:
            return status
        obstacle = self._obstacle(store.position.owner, instance_id, graph, status)
        if obstacle is None:
            return status
        return replace(status, waiting_for=f"{status.waiting_for}; {obstacle}")

    def _obstacle(
        self, owner: str, instance_id: str, graph: Graph | None, status: Status
    ) -> str | None:
        """What keeps the owner of an instance's partition from going on with it."""
        partition = partition_of_instance(self.log, instance_id)
        refusal = find_refusal(self.registry, partition, owner)
        if refusal is not None:
            return refusal.cause
        capabilities = self.registry.get_capabilities(owner)
        if graph is None or capabilities is None:
            return None
        lack = capabilities.obstacle(graph, status.attempts)
        if lack is None:
            return None
        path, what = lack
        return f"the worker that owns partition {partition} lacks {what} for {path!r}"

    async def get_task_result(self, instance_id: str, task_id: str) -> bytes | None:
        """The result of the first node of that id in graph order, or None.

        Raises:
            BackendError: if there is no instance of that id.
        """
        await self.get_status(instance_id)
        return await read_again(lambda: self._find_result(instance_id, task_id))

    async def _find_result(self, instance_id: str, task_id: str) -> bytes | None:
        rows = await self.get_rows(instance_id)
        run = get_run(rows)
        graph = self.registry.by_digest(run.graph_digest) if run else None
        path = graph.find(task_id) if graph is not None else None
        if graph is None or path is None:
            return None
        return result_of(rows, graph, path)

    async def read_store(self, partition: int) -> SnapshotStore:
        """The store of a partition, as of its end now."""
        await self.open()
        return await self._projection.read_to_end(partition)

    async def read_stores(self) -> AsyncGenerator[SnapshotStore]:
        """Yield the store of each partition, as of its end now."""
        await self.open()
        await self.definitions.refresh()
        for partition in range(self.log.partitions):
            yield await self._projection.read_to_end(partition)

    async def wait(
        self,
        instance_id: str,
        *,
        parked: bool = False,
        timeout_s: float | None = None,
        executor: LocalExecutor | None = None,
    ) -> Status:
        """Wait until an instance has ended, or with `parked` until nothing runs.

        A `KeyboardInterrupt` or `SystemExit` of a task of `executor` is raised.

        Raises:
            TimeoutError: if it did not within `timeout_s` seconds.
            BackendError: if there is no instance of that id.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                if await self._is_resting(instance_id, parked=parked):
                    status = await self.get_status(instance_id)
                    if status.status in ENDED or (
                        parked and status.status != "in_progress"
                    ):
                        return status
                check_interrupted(executor)
                self._ownership.check()
                await self._projection.wait_for_events(instance_id, max_wait_s=POLL_S)

    async def _is_resting(self, instance_id: str, *, parked: bool) -> bool:
        async def read() -> bool:
            return is_resting(await self.get_rows(instance_id), parked=parked)

        return await read_again(read)

    # --- owning -----------------------------------------------------------------------

    @asynccontextmanager
    async def owning(
        self, workflows: Sequence[Workflow] = ()
    ) -> AsyncGenerator[LocalExecutor | None]:
        """Own the log while inside, if the backend allows it and nobody else does."""
        await self.open()
        async with self._ownership.hold(workflows) as executor:
            yield executor

    async def _open_store(self, partition: int) -> SnapshotStore:
        assert self._identity is not None
        return self._stores.open(store_identity(self._identity, partition))

    async def _open_view(self, partition: int) -> SnapshotStore:
        assert self._identity is not None
        end = await self.log.end_offset(Topic.EVENTS, partition)
        if end < self.backend.short_view_records:
            return MemoryStore()
        return self._views.open(store_identity(self._identity, partition))

"""What a client folds for itself: the fallback where no owner answers.

It reads the events of a partition into a view of its own, which may take long for a
long history. So it is for `audit`, for the command line's `--offline`, and for calls to
an app without any worker; clients ask owners (`client.requests`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.client.projection import Projection, partition_of_instance, read_again
from sayiir_es.client.stores import ClientStores, store_identity
from sayiir_es.client.unserved import find_refusal
from sayiir_es.core.graph.references import result_of
from sayiir_es.core.model.rows import get_run
from sayiir_es.core.status.status import ENDED, Status, is_resting
from sayiir_es.engine.requests.describing import describe
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.client.backend_port import BackendPort
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.definitions.code import Code
    from sayiir_es.engine.definitions.feed import DefinitionFeed
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, LogIdentity


class FoldedView:
    """Partitions folded by the client itself, each when it is first asked about."""

    def __init__(
        self,
        backend: BackendPort,
        log: Log,
        registry: Registry,
        definitions: DefinitionFeed,
    ) -> None:
        self._backend = backend
        self._log = log
        self._registry = registry
        self._definitions = definitions
        self._stores = ClientStores(backend.views())
        self._projection = Projection(log, self._open_store)
        self.identity: LogIdentity | None = None
        """Of the log; set when it is open."""

    async def close(self) -> None:
        """Close stores and readers."""
        await self._projection.close()
        self._stores.close()

    async def get_rows(self, instance_id: str) -> Rows:
        """The rows of an instance as of the end of its partition now."""
        return await self._projection.get_rows(instance_id)

    async def find_status(self, instance_id: str) -> Status | None:
        """The status of an instance, or None."""
        return await read_again(lambda: self._find_status(instance_id))

    async def _find_status(self, instance_id: str) -> Status | None:
        store = await self._projection.read_to_end(
            partition_of_instance(self._log, instance_id)
        )
        run = get_run(store.rows(instance_id))
        if run is None:
            return None
        status = self.describe(store, instance_id)
        is_known = self._registry.knows(store.position.owner, run.graph_digest)
        if is_known and status is not None and status.status in ENDED:
            return status
        # What keeps it from ending may have been announced meanwhile.
        await self._definitions.refresh()
        return self.describe(store, instance_id)

    def describe(self, store: SnapshotStore, instance_id: str) -> Status | None:
        """The status of an instance in a store, by the definitions read so far."""
        owner = store.position.owner
        partition = partition_of_instance(self._log, instance_id)
        refusal = find_refusal(self._registry, partition, owner)
        code = None if refusal is not None else self.get_code(owner)
        status = describe(
            store.rows(instance_id),
            instance_id,
            self._registry,
            partition=partition,
            code=code,
        )
        if refusal is None or status is None or status.status in ENDED:
            return status
        return replace(status, waiting_for=f"{status.waiting_for}; {refusal.cause}")

    def get_code(self, owner: str) -> Code | None:
        """The code of the worker of that owner id; None where it is not announced."""
        capabilities = self._registry.get_capabilities(owner)
        return None if capabilities is None else self._registry.code_of(capabilities)

    async def find_result(self, instance_id: str, task_id: str) -> bytes | None:
        """The result of the first node of that id in graph order, or None."""
        await self.find_status(instance_id)  # reads the definitions that it needs
        return await read_again(lambda: self._find_result(instance_id, task_id))

    async def _find_result(self, instance_id: str, task_id: str) -> bytes | None:
        rows = await self.get_rows(instance_id)
        run = get_run(rows)
        graph = self._registry.by_digest(run.graph_digest) if run else None
        path = graph.find(task_id) if graph is not None else None
        if graph is None or path is None:
            return None
        return result_of(rows, graph, path)

    async def is_resting(self, instance_id: str, *, parked: bool) -> bool:
        """Whether the run has ended, or with `parked` awaits no outcome."""

        async def read() -> bool:
            return is_resting(await self.get_rows(instance_id), parked=parked)

        return await read_again(read)

    async def wait_for_events(self, instance_id: str, *, max_wait_s: float) -> None:
        """Wait until events were added to the partition of an instance."""
        await self._projection.wait_for_events(instance_id, max_wait_s=max_wait_s)

    async def read_store(self, partition: int) -> SnapshotStore:
        """The store of a partition, as of its end now."""
        return await self._projection.read_to_end(partition)

    async def read_stores(self) -> AsyncGenerator[SnapshotStore]:
        """Yield the store of each partition, as of its end now."""
        await self._definitions.refresh()
        for partition in range(self._log.partitions):
            yield await self._projection.read_to_end(partition)

    async def _open_store(self, partition: int) -> SnapshotStore:
        assert self.identity is not None
        end = await self._log.end_offset(Topic.EVENTS, partition)
        if end < self._backend.short_view_records:
            return MemoryStore()
        return self._stores.open(store_identity(self.identity, partition))

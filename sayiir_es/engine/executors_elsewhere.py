"""Gives the engine of a worker an executor that also places attempts elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.remote.executors import ExecutorTable
from sayiir_es.engine.attempts.remote.placement import PlacingExecutor

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.worker_settings import WorkerSettings


class _KnownExecutors:
    """What the executors of a table run, by graph and path."""

    def __init__(self, registry: Registry, table: ExecutorTable) -> None:
        self._registry = registry
        self._table = table

    def is_run(self, graph: Graph, path: str) -> bool:
        """Whether one of them runs the node at a path, now or later."""
        job = self._registry.job(graph.digest, path)
        return job is not None and self._table.is_run(job)

    def why_not_run(self, graph: Graph, path: str) -> str:
        """Why none of them does, in words."""
        job = self._registry.job(graph.digest, path)
        return "" if job is None else self._table.why_not_run(job)


def with_executors_elsewhere(ports: Ports, settings: WorkerSettings) -> Ports:
    """The ports, with a table of executors that all partitions of a process share."""
    log = ports.log
    table = ExecutorTable(
        ports.clock,
        lambda executor_id: partition_of(
            executor_id.encode("utf-8", "surrogatepass"), log.partitions
        ),
        own_id=settings.owner_id,
    )
    placing = PlacingExecutor(
        ports.executor,
        table,
        log.request_topics,
        ports.clock,
        limits=settings.limits,
        lease_ms=settings.lease_ms,
    )
    ports.registry.elsewhere = _KnownExecutors(ports.registry, table)
    return replace(ports, executor=placing, elsewhere=placing)

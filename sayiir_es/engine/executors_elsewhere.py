"""Gives the engine of a worker an executor that also places attempts elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.remote.executors import ExecutorTable
from sayiir_es.engine.attempts.remote.placement import PlacingExecutor

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.ports import Ports
    from sayiir_es.engine.worker_settings import WorkerSettings


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
    registry = ports.registry

    def is_run_elsewhere(graph: Graph, path: str) -> bool:
        job = registry.job(graph.digest, path)
        return job is not None and table.is_run(job, is_foreign=True)

    registry.is_run_elsewhere = is_run_elsewhere
    return replace(ports, executor=placing, elsewhere=placing)

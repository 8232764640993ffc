"""The snapshot of an instance as others get it: a row of a table, as of one event.

It holds what a status says and nothing beside, so that whoever reads it needs no fold,
and is a function of the events alone: whoever owns the partition makes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import get_run
from sayiir_es.core.status.status import StatusName, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.position import Position
    from sayiir_es.core.model.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSummary:
    """What an instance was as of one event; times are epoch milliseconds.

    Attributes:
        claim: Under which its writer owned the partition.
        sequence: Of the last event of the instance that is in it; of two snapshots of
            one instance the one with the higher is the newer.
        offset: Of the last event of the partition that its writer had folded.
        complete_before: Whatever changed by events below that offset was published.
    """

    claim: int
    instance_id: str
    run: int
    sequence: int
    offset: int
    complete_before: int
    workflow: str
    definition_hash: str
    graph_digest: str
    status: StatusName
    waiting_for: str
    output: bytes | None
    error: str | None
    error_type: str | None
    reason: str | None
    requested_by: str | None
    wake_at: int | None
    node_id: str | None
    signal: str | None
    started_at: int
    updated_at: int
    attributes: Mapping[str, str]


def summary_of(
    rows: Rows,
    instance_id: str,
    graph: Graph | None,
    position: Position,
    complete_before: int,
) -> InstanceSummary | None:
    """The snapshot that rows give at `position`; None where there is no run."""
    run, status = get_run(rows), status_of(rows, instance_id, graph)
    if run is None or status is None:
        return None
    return InstanceSummary(
        claim=position.claim,
        instance_id=instance_id,
        run=status.run,
        sequence=status.sequence,
        offset=position.offset - 1,
        complete_before=complete_before,
        workflow=status.workflow,
        definition_hash=status.definition_hash,
        graph_digest=run.graph_digest,
        status=status.status,
        waiting_for=status.waiting_for,
        output=status.output,
        error=status.error,
        error_type=status.error_type,
        reason=status.reason,
        requested_by=status.requested_by,
        wake_at=status.wake_at,
        node_id=status.node_id,
        signal=status.signal,
        started_at=status.started_at,
        updated_at=status.updated_at,
        attributes=status.attributes,
    )

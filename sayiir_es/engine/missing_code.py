"""Tells, at a worker's start, which workflows it owns instances of but has no code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.status.status import ENDED
from sayiir_es.engine.definitions.code import workflow_title
from sayiir_es.engine.requests.searching import in_turns
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.engine.owner.owner import Owner

logger = get_logger(__name__)

LOOK_S = 0.05
"""How often, in seconds, it is looked whether all partitions are served."""

LOOKS_IN_A_ROW = 4
"""So often all of them were served: a group deals them within a moment."""


@dataclass(slots=True)
class MissingCode:
    """How many instances wait for the code of one workflow, and where."""

    workflow: str
    instances: int = 0
    partitions: set[int] = field(default_factory=set[int])


async def tell_missing_code(
    registry: Registry,
    clock: Clock,
    owners: Callable[[], Mapping[int, Owner]],
    is_settled: Callable[[], bool],
) -> None:
    """Log a warning for each workflow, once what is assigned is served.

    It counts what is stranded, and what will be: whatever runs of workflows of which
    this process has no code at all.
    """
    seen = 0
    while seen < LOOKS_IN_A_ROW:
        await asyncio.sleep(LOOK_S)
        seen = seen + 1 if is_settled() else 0
    missing: dict[str, MissingCode] = {}
    for partition, owner in owners().items():
        try:
            await _count(registry, clock.now_ms(), partition, owner, missing)
        except StoreError:
            continue  # its supervisor has more to say
    for title, one in sorted(missing.items()):
        partitions = sorted(one.partitions)
        logger.warning(
            "worker.instances_stranded",
            workflow=one.workflow,
            instances=one.instances,
            partitions=partitions,
            reason=f"instances of {title} wait for code that this worker lacks: "
            f"{one.instances}, on partitions {', '.join(map(str, partitions))}; "
            "`sayiir-es instance list --status stranded` finds those that are due",
        )


async def _count(
    registry: Registry,
    now_ms: int,
    partition: int,
    owner: Owner,
    missing: dict[str, MissingCode],
) -> None:
    stranding, complete = registry.stranding(), dict[str, bool]()
    async for entry in in_turns(owner.store.entries()):
        workflow = entry.workflow
        if workflow not in complete:
            complete[workflow] = registry.is_complete(workflow, stranding.code)
        if complete[workflow] or entry.status in ENDED:
            continue
        rows = owner.store.rows(entry.instance_id)
        if stranding.is_foreign(rows) or stranding.find(rows, now_ms) is not None:
            title = workflow_title(rows)
            one = missing.setdefault(title, MissingCode(workflow=workflow))
            one.instances += 1
            one.partitions.add(partition)

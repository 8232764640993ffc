"""Partitions and workers as data: what commands print, the API returns and pages show.

Times are epoch milliseconds, None where there is nothing to say.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.client.partitions import PartitionStatus, WorkerStatus


def partition_view(status: PartitionStatus) -> dict[str, object]:
    """All that is known of a partition; `report` is null where nobody answers."""
    report = status.report
    view: dict[str, object] = {
        "partition": status.partition,
        "served": status.is_served,
        "owner": status.owner_id,
        "events_end": status.events_end,
        "commands_end": status.commands_end,
        "commands_behind": status.commands_behind,
        "trouble": status.trouble,
        "fix": status.fix,
        "report": None,
    }
    if report is not None:
        view["report"] = {
            **asdict(report),
            "events_behind": report.events_behind,
            "commands_behind": report.commands_behind,
        }
    return view


def worker_view(worker: WorkerStatus) -> dict[str, object]:
    """All that is known of a worker; what only owners tell is null where it owns none.

    What runs is of all its partitions.
    """
    latest = worker.latest
    running = [asdict(one) for report in worker.reports for one in report.running]
    return {
        "worker": worker.worker_id,
        "owner": worker.owner_id,
        "announced": worker.is_announced,
        "build": None if latest is None else latest.build,
        "partitions": list(worker.partitions),
        "refused": {str(number): reason for number, reason in worker.refused.items()},
        "serving_since": min(
            (one.serving_since for one in worker.reports), default=None
        ),
        "slots": None if latest is None else latest.slots,
        "slots_used": None if latest is None else latest.slots_used,
        "queued": None if latest is None else latest.slots_queued,
        "runs_attempts": None if latest is None else latest.runs_attempts,
        "tags": None if worker.tags is None else list(worker.tags),
        "workflows": list(worker.workflows),
        "running": running,
        "running_count": sum(report.running_count for report in worker.reports),
    }

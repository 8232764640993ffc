"""`sayiir-es executor list`: the executors that owners know, and what waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.client.session import Session
    from sayiir_es.wire.partition_reports import KnownExecutor, PartitionReport

_COLUMNS = ("executor", "state", "held", "slots", "tags", "tasks", "owners")


def list_executors(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> None:
    """List the executors that offer slots: state, attempts held, tags and tasks."""

    async def read(session: Session) -> tuple[list[PartitionReport], list[str]]:
        from sayiir_es.client.partitions import (  # noqa: PLC0415 (slow to import)
            describe_partitions,
        )
        from sayiir_es.operations.unplaced_tasks import (  # noqa: PLC0415 (slow)
            find_unplaced,
        )

        statuses = await describe_partitions(session)
        reports = [one.report for one in statuses if one.report is not None]
        if not reports:
            return [], []
        await session.definitions.refresh()
        unplaced = await find_unplaced(session)
        return reports, [f"{one.summary}; {one.fix}" for one in unplaced]

    reports, lines = in_session(url, read)
    rows = executor_rows(reports)
    if not rows:
        print_message("no executors", "dim")
    if output is Format.TABLE:
        rows = [
            {**row, "tags": _joined(row, "tags"), "tasks": _joined(row, "tasks")}
            for row in rows
        ]
    print_rows(rows, _COLUMNS, output)
    waiting = waiting_elsewhere(reports)
    if waiting:
        lines.append(f"attempts that wait for a free slot of executors: {waiting}")
    for line in lines:
        print_message(line, "yellow")


def waiting_elsewhere(reports: Iterable[PartitionReport]) -> int:
    """How many attempts wait for a slot of executors only, as their owners say."""
    waiting: dict[str, int] = {}
    queued_here: dict[str, int] = {}
    for report in reports:
        queued = waiting.get(report.owner_id, 0) + report.queued_attempts
        waiting[report.owner_id] = queued
        queued_here[report.owner_id] = report.slots_queued  # of the whole process
    return sum(max(0, count - queued_here[name]) for name, count in waiting.items())


def executor_rows(reports: Iterable[PartitionReport]) -> list[dict[str, object]]:
    """One row an executor, of what the owners of all partitions say of it.

    What it holds is counted by process: each process says the same on all of its
    partitions.
    """
    known: dict[str, dict[str, KnownExecutor]] = {}
    for report in reports:
        for one in report.executors:
            known.setdefault(one.executor, {})[report.owner_id] = one
    return [
        {
            "executor": executor_id,
            "state": (
                "stopping"
                if any(one.is_stopping for one in by_owner.values())
                else "ready"
            ),
            "held": sum(one.held for one in by_owner.values()),
            "slots": max(one.slots for one in by_owner.values()),
            "tags": sorted({tag for one in by_owner.values() for tag in one.tags}),
            "tasks": sorted({name for one in by_owner.values() for name in one.tasks}),
            "owners": len(by_owner),
        }
        for executor_id, by_owner in sorted(known.items())
    ]


def _joined(row: dict[str, object], name: str) -> str:
    values = cast("list[str]", row[name])
    return ", ".join(values)

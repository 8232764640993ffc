"""Partitions and workers as they are now: what their owners say, and who says nothing.

Every partition's owner is asked, all at once, and within a limit of time. Where none
answers, the log says who decided last and how much waits, and what the workers announce
says why. Nothing is folded, so a long history costs nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.unserved import (
    Obstacle,
    explain,
    find_loss,
    find_open_transaction,
)
from sayiir_es.core.model.errors import BackendError, LogError, WorkflowError
from sayiir_es.engine.claims import find_next_command, find_owner
from sayiir_es.log.port import Topic
from sayiir_es.wire.requests import DescribedPartition, DescribePartition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.client.session import Session
    from sayiir_es.wire.partition_reports import PartitionReport

ANSWER_LIMIT_S = 2.0
"""How long the owner of a partition may take to answer, in seconds; with counts it
looks at every instance, and may take longer."""

COUNTS_LIMIT_S = 10.0

EXPLAIN_LIMIT_S = 3.0
"""How long it is looked why nobody answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """A partition as a client sees it.

    Attributes:
        partition: Its number.
        report: What its owner says; None where nobody answers.
        owner_id: Its owner, or who decided last.
        events_end: The end of its events.
        commands_end: The end of its commands.
        commands_behind: How many of them are not decided; None where that is unknown.
        trouble: Why it is not served, or does not go on; None if it does.
        fix: What to do about that.
        has_no_worker: Whether no worker of the app is announced at all.
    """

    partition: int
    report: PartitionReport | None
    owner_id: str | None
    events_end: int
    commands_end: int
    commands_behind: int | None
    trouble: str | None = None
    fix: str | None = None
    has_no_worker: bool = False

    @property
    def is_served(self) -> bool:
        """Whether an owner answers for it."""
        return self.report is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker process, as it announces itself and as its owners say.

    Attributes:
        owner_id: Different for every process that ever ran.
        worker_id: Its name.
        partitions: Those that it owns.
        reports: What it says of each of these.
        refused: Partitions that it gave up, each with the reason.
        tags: It runs tasks whose tags are all among these; None: of any.
        workflows: The names of those whose code it has.
        is_announced: Whether it says what it can run, as every worker does; a process
            that decides for a while only (a client's call) does not.
    """

    owner_id: str
    worker_id: str
    partitions: tuple[int, ...]
    reports: tuple[PartitionReport, ...]
    refused: dict[int, str]
    tags: tuple[str, ...] | None
    workflows: tuple[str, ...]
    is_announced: bool

    @property
    def latest(self) -> PartitionReport | None:
        """The report that says most of the process: of several the last; None: none."""
        return max(self.reports, key=lambda report: report.now, default=None)


async def describe_partitions(
    session: Session, *, counts: bool = False
) -> tuple[PartitionStatus, ...]:
    """Every partition; with `counts` also how many instances each has by status.

    Raises:
        LogError: if the log does not answer.
    """
    await session.open()
    await session.definitions.refresh()
    partitions = range(session.log.partitions)
    return tuple(
        await asyncio.gather(
            *(_describe(session, partition, counts=counts) for partition in partitions)
        )
    )


async def describe_partition(
    session: Session, partition: int, *, counts: bool = True
) -> PartitionStatus:
    """One partition.

    Raises:
        ValueError: if there is none of that number.
        LogError: if the log does not answer.
    """
    await session.open()
    count = session.log.partitions
    if not 0 <= partition < count:
        raise ValueError(f"expected a partition of 0 to {count - 1}, but {partition}")
    await session.definitions.refresh()
    return await _describe(session, partition, counts=counts)


async def describe_workers(session: Session) -> tuple[WorkerStatus, ...]:
    """Every worker that is announced or answers, by name.

    Raises:
        LogError: if the log does not answer.
    """
    return workers_of(session, await describe_partitions(session))


def workers_of(
    session: Session, statuses: Sequence[PartitionStatus]
) -> tuple[WorkerStatus, ...]:
    """The workers, where the partitions are known already."""
    by_owner: dict[str, list[PartitionReport]] = {}
    for status in statuses:
        if status.report is not None:
            by_owner.setdefault(status.report.owner_id, []).append(status.report)
    registry = session.registry
    announced = registry.workers()
    workers: list[WorkerStatus] = []
    for owner_id in sorted({*announced, *by_owner}):
        reports, capabilities = by_owner.get(owner_id, []), announced.get(owner_id)
        latest = reports[-1] if reports else None
        if latest is not None:
            tags, workflows = latest.tags, latest.workflows
        else:
            assert capabilities is not None
            graphs = map(registry.by_digest, capabilities.graphs)
            workflows = tuple(sorted({graph.name for graph in graphs if graph}))
            found = capabilities.tags
            tags = None if found is None else tuple(sorted(found))
        refusals = () if capabilities is None else capabilities.refusals.items()
        workers.append(
            WorkerStatus(
                owner_id=owner_id,
                worker_id=owner_id.partition("/")[0],
                partitions=tuple(report.partition for report in reports),
                reports=tuple(reports),
                refused={number: str(one) for number, one in refusals},
                tags=tags,
                workflows=workflows,
                is_announced=capabilities is not None,
            )
        )
    return tuple(workers)


async def _describe(
    session: Session, partition: int, *, counts: bool
) -> PartitionStatus:
    log = session.log
    report, refused = await _ask(session, partition, counts=counts)
    events_end = await log.end_offset(Topic.EVENTS, partition)
    commands_end = await log.end_offset(Topic.COMMANDS, partition)
    if report is not None:
        obstacle = None
        if report.commands_behind:
            obstacle = await find_open_transaction(log, partition)
        return PartitionStatus(
            partition=partition,
            report=report,
            owner_id=report.owner_id,
            events_end=max(events_end, report.events_end),
            commands_end=max(commands_end, report.commands_end),
            commands_behind=report.commands_behind,
            trouble=None if obstacle is None else obstacle.cause,
            fix=None if obstacle is None else obstacle.fix,
        )
    owner, behind, obstacle = await _explain(session, partition, commands_end)
    if refused is not None:
        obstacle = refused
    return PartitionStatus(
        partition=partition,
        report=None,
        owner_id=owner,
        events_end=events_end,
        commands_end=commands_end,
        commands_behind=behind,
        trouble=obstacle.cause,
        fix=obstacle.fix,
        has_no_worker=obstacle.is_without_worker,
    )


async def _ask(
    session: Session, partition: int, *, counts: bool
) -> tuple[PartitionReport | None, Obstacle | None]:
    """What the owner says; or None, and why it says nothing if it does not know how."""
    limit_s = COUNTS_LIMIT_S if counts else ANSWER_LIMIT_S
    try:
        async with asyncio.timeout(limit_s):
            answer = await session.ask(
                partition,
                lambda at_least: DescribePartition(counts=counts, at_least=at_least),
            )
    except TimeoutError:
        return None, None
    except BackendError as error:
        return None, Obstacle(
            cause=f"the owner of partition {partition} does not tell how it is: "
            f"{error}",
            fix="a worker of an older build does not know how; start newer ones",
        )
    return (answer.report if isinstance(answer, DescribedPartition) else None), None


async def _explain(
    session: Session, partition: int, commands_end: int
) -> tuple[str | None, int | None, Obstacle]:
    """Who decided last, how many commands wait, and why nobody answers."""
    log = session.log
    owner, behind = None, None
    try:
        async with asyncio.timeout(EXPLAIN_LIMIT_S):
            owner = await find_owner(log, partition)
            next_command = await find_next_command(log, partition)
            if next_command is not None:
                behind = max(0, commands_end - next_command)
                loss = await find_loss(log, partition, next_command)
                if loss is not None:
                    return owner, behind, loss
            return owner, behind, await explain(log, session.registry, partition, owner)
    except (TimeoutError, LogError) as error:
        cause = f"the log did not say why nobody answers for partition {partition}"
        reason = f": {error}" if str(error) else f" within {EXPLAIN_LIMIT_S:g} s"
        return owner, behind, Obstacle(cause=cause + reason, fix="look at the log")
    except WorkflowError as error:
        return (
            owner,
            behind,
            Obstacle(
                cause=f"partition {partition} cannot be read here: {error}",
                fix=f"see `sayiir-es error {error.code}`",
            ),
        )

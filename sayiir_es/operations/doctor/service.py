"""Whether somebody decides for every partition, and what stands still all the same.

Every owner is asked how it is. Where none answers, the log says whether commands wait,
and the workers' announcements why; an announcement alone is no worker, for one that was
killed leaves its own behind. What stands still among instances is looked for only where
every partition is served: else all of the log would have to be read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.limits import PAGE_MAX, list_limits
from sayiir_es.client.partitions import describe_partitions
from sayiir_es.client.unserved import find_open_transaction, find_refusal
from sayiir_es.core.status.search import Search
from sayiir_es.operations.doctor.finding import Finding, Mark
from sayiir_es.operations.trouble import find_trouble
from sayiir_es.operations.unplaced_tasks import find_unplaced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from sayiir_es.client.partitions import PartitionStatus
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.limit_report import LimitReport
    from sayiir_es.operations.trouble import TroubleKind
    from sayiir_es.wire.partition_reports import PartitionReport

COMMANDS_WAIT_MS = 60_000
"""A command that has waited for so long is no burst: a fork reads its source for as
long at most, and nothing else holds the next one back."""

TIMERS_LATE_MS = 30_000
"""Timers later than that are not late by a slow turn: their owner is behind."""

QUEUED_LONG_MS = 3_600_000
"""Who has waited for so long in a start queue is worth a look: its workflow may need a
larger `max_running`, or the runs that go on may hang."""

CHANGING_HANDS_MS = 10_000
"""A permit changes hands in some passes through the log: nobody waits for so long in a
queue where none goes on, but where none may."""

QUEUES_MAX = 2_000
"""Start queues that are looked at: a `queue_key` may make any number of them."""

_STANDING: Mapping[TroubleKind, tuple[Mark, str, str]] = {
    "quarantined": (
        Mark.BAD,
        "instances in quarantine, which no decision moves on",
        (
            "`sayiir-es instance list --status quarantined`; then `sayiir-es instance "
            "retry` or `cancel` them"
        ),
    ),
    "slow": (
        Mark.WARNING,
        "instances whose attempt has run for long",
        (
            "`sayiir-es instance list --status in_progress`; a task without a "
            "time-out may hang for ever"
        ),
    ),
    "retrying": (
        Mark.WARNING,
        "instances whose attempt failed, and is to be tried again",
        "`sayiir-es instance show ID` has the error and the time of the next attempt",
    ),
    "unsignalled": (
        Mark.WARNING,
        "instances that have waited for a signal for an hour or longer",
        "`sayiir-es instance list --status awaiting_signal`; look at who sends it",
    ),
    "failed": (
        Mark.WARNING,
        "instances that failed",
        (
            "`sayiir-es instance list --status failed`; mend the cause, then "
            "`sayiir-es instance retry`"
        ),
    ),
}
"""Of each kind of trouble that is told here: how bad it is, what it is, what to do."""


async def examine_service(session: Session, now_ms: int) -> AsyncIterator[Finding]:
    """Whether every partition is served and gets on, and what stands still.

    Raises:
        WorkflowError: if the log does not answer.
    """
    statuses = await describe_partitions(session)
    findings = [
        finding
        for status in statuses
        for finding in await _of_partition(session, status)
    ]
    is_bad = any(finding.mark is Mark.BAD for finding in findings)
    idle = [finding for finding in findings if finding.mark is Mark.WARNING]
    for finding in findings:
        # That nobody serves where nothing waits is worth a line where all is well.
        if finding.mark is Mark.BAD or (not is_bad and finding is idle[0]):
            yield finding
    owners = {status.owner_id for status in statuses if status.is_served}
    if not findings:
        yield Finding(
            check="workers",
            mark=Mark.GOOD,
            finding=f"every partition is served; workers: {len(owners)}",
        )
    if all(status.is_served for status in statuses):
        async for finding in _standing(session, now_ms):
            yield finding
        async for finding in _unplaced(session):
            yield finding
        yield await _start_queues(session, now_ms)


async def _of_partition(session: Session, status: PartitionStatus) -> list[Finding]:
    report = status.report
    # What stands behind an open transaction is beyond what its owner can see.
    blocked = await find_open_transaction(session.log, status.partition)
    if report is None and blocked is None:
        return [_of_unserved(session, status)]
    findings = [] if report is None else list(of_report(report))
    if blocked is not None:
        findings.append(
            Finding(
                check="workers",
                mark=Mark.BAD,
                finding=blocked.cause,
                fix=blocked.fix,
            )
        )
    return findings


def _of_unserved(session: Session, status: PartitionStatus) -> Finding:
    """Nobody answers for a partition: bad where something waits, or it has stopped."""
    partition, behind = status.partition, status.commands_behind
    refusal = find_refusal(session.registry, partition, status.owner_id)
    is_bad = behind != 0 or refusal is not None
    waiting = f"{behind} commands" if behind is not None else "how many is unknown"
    cause, fix = status.trouble, status.fix
    if refusal is not None:  # nearer to the cause than what is seen from here
        cause, fix = refusal.cause, refusal.fix
    cause = cause or f"nobody answers for partition {partition}"
    return Finding(
        check="workers",
        mark=Mark.BAD if is_bad else Mark.WARNING,
        finding=f"{cause}; undecided: {waiting}" if behind != 0 else cause,
        fix=fix or "`sayiir-es worker run MODULE`",
    )


def of_report(report: PartitionReport) -> Iterator[Finding]:
    """What an owner says of itself that somebody should look at."""
    first = next(iter(report.undecided), None)
    since = None if first is None else first.since
    if first is not None and since is not None:
        waited_ms = report.now - since
        if waited_ms > COMMANDS_WAIT_MS:
            yield Finding(
                check="commands",
                mark=Mark.BAD,
                finding=f"undecided commands of partition {report.partition}: "
                f"{report.undecided_count}, the first, at offset {first.offset}, for "
                f"{waited_ms // 1000} s: {first.reason}",
                fix=f"see the log of worker {report.worker_id!r}; restart it if it "
                "says nothing",
            )
    if report.timer_overdue_ms > TIMERS_LATE_MS:
        yield Finding(
            check="timers",
            mark=Mark.BAD,
            finding=f"timers of partition {report.partition} are late: "
            f"{report.timers_due} are due, the earliest for "
            f"{report.timer_overdue_ms // 1000} s",
            fix=f"worker {report.worker_id!r} is behind: look at its load and its "
            "clock; start more workers",
        )


async def _standing(session: Session, now_ms: int) -> AsyncIterator[Finding]:
    """Instances that stand still, by kind."""
    counts: dict[TroubleKind, int] = {}
    for group in await find_trouble(session, Search(), now_ms=now_ms):
        counts[group.kind] = counts.get(group.kind, 0) + group.count
    for kind, (mark, what, fix) in _STANDING.items():
        if kind in counts:
            yield Finding(
                check="instances",
                mark=mark,
                finding=f"{what}: {counts[kind]}",
                fix=fix,
            )
    if not counts.keys() & _STANDING.keys():
        yield Finding(
            check="instances", mark=Mark.GOOD, finding="none failed or stands still"
        )


async def _unplaced(session: Session) -> AsyncIterator[Finding]:
    """Attempts that nobody who is there may run."""
    await session.definitions.refresh()
    tasks = await find_unplaced(session)
    for one in tasks:
        yield Finding(check="executors", mark=Mark.BAD, finding=one.cause, fix=one.fix)
    if not tasks:
        yield Finding(
            check="executors", mark=Mark.GOOD, finding="no attempt waits for one"
        )


async def _start_queues(session: Session, now_ms: int) -> Finding:
    """Runs that wait in start queues, though none goes on there, or for long."""
    queues: list[LimitReport] = []
    after: str | None = None
    while len(queues) < QUEUES_MAX:
        page = await list_limits(session, PAGE_MAX, after, "runs")
        queues += page.limits
        after = page.next_after
        if after is None:
            break
    return of_queues(queues, now_ms)


def of_queues(queues: Iterable[LimitReport], now_ms: int) -> Finding:
    """What somebody should look at of the start queues."""
    standing = [one for one in queues if _stands(one, now_ms)]
    if not standing:
        return Finding(
            check="start queues", mark=Mark.GOOD, finding="no run waits there for long"
        )
    worst = min(standing, key=lambda one: (one.in_use > 0, one.waiting[0].since))
    by = "" if worst.set_max_running is None else ", as somebody set it"
    return Finding(
        check="start queues",
        mark=Mark.WARNING,
        finding="start queues in which a run waits for an hour, or though none goes "
        f"on: {len(standing)}; at {worst.key!r} {worst.queued} wait, the first for "
        f"{(now_ms - worst.waiting[0].since) // 1000} s, and {worst.in_use} of "
        f"{worst.max_running} go on{by}",
        fix="`sayiir-es limit list --of runs` has them, `limit show KEY --of runs` who "
        "goes on: cancel what hangs, or `limit set KEY --of runs --max-running N`",
    )


def _stands(queue: LimitReport, now_ms: int) -> bool:
    if not queue.waiting:
        return False
    waited_ms = now_ms - queue.waiting[0].since
    is_idle = queue.in_use == 0 and waited_ms > CHANGING_HANDS_MS
    return is_idle or waited_ms > QUEUED_LONG_MS

"""All series of one worker: what its engine told, and what its monitor saw."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from sayiir_es.core.status.status import StatusName
from sayiir_es.operations.metrics import catalogue
from sayiir_es.operations.metrics.series import Numbers, series_of
from sayiir_es.operations.worker_health import judge_readiness, served_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.engine.worker_state import OwnerState, WorkerState
    from sayiir_es.operations.metrics.catalogue import Metric
    from sayiir_es.operations.metrics.recorder import Recorder
    from sayiir_es.operations.metrics.series import Labels, Series
    from sayiir_es.operations.worker_monitor import WorkerMonitor


def worker_series(monitor: WorkerMonitor, build: str, now_s: float) -> Iterator[Series]:
    """The series of a worker at a monotonic time."""
    recorder, seen = monitor.recorder, monitor.seen
    yield from series_of(recorder.families, recorder.histograms)
    for metric, family, labels in (
        (catalogue.QUARANTINES, recorder.events, ("InstanceQuarantined",)),
        (catalogue.DEAD_LETTERS, recorder.events, ("CommandDeadLettered",)),
    ):
        yield _number(metric, family.values.get(labels, 0))
    yield _number(catalogue.READY, judge_readiness(seen, now_s).is_good)
    yield Numbers(metric=catalogue.BUILD_INFO, values={(build,): 1})
    yield _number(catalogue.LOOP_AGE_SECONDS, now_s - monitor.turned_at_s)
    if seen.state is not None:
        yield from _of_state(seen.state, now_s - seen.at_s)
        yield from _of_runs(seen.state, recorder)
    yield from _of_log(monitor)
    yield Numbers(
        metric=catalogue.ATTEMPTS_UNPLACED,
        values={(name,): count for name, count in _unplaced(monitor)},
    )


def _number(metric: Metric, value: float) -> Numbers:
    return Numbers(metric=metric, values={(): value})


def _of_state(state: WorkerState, age_s: float) -> Iterator[Numbers]:
    """What the worker did when it was looked at, so many seconds ago."""
    executor, owners = state.executor, _owners(state)
    yield _number(catalogue.ATTEMPTS_RUNNING, executor.running)
    yield _number(catalogue.ATTEMPTS_QUEUED, executor.queued)
    elsewhere = sum(one.attempts_elsewhere for one in owners.values())
    yield _number(catalogue.ATTEMPTS_ELSEWHERE, elsewhere)
    yield _number(catalogue.SLOTS, executor.slots)
    yield _number(catalogue.THREADS_ABANDONED, executor.threads_abandoned)
    yield _number(catalogue.PARTITIONS_ASSIGNED, len(state.assigned))
    served = served_partitions(state)
    yield Numbers(
        metric=catalogue.PARTITION_SERVED,
        values={(str(p),): p in served for p in sorted(state.assigned)},
    )
    yield _number(catalogue.HEARTBEATS, state.confirmations)
    if state.heartbeat_age_s is not None:
        yield _number(catalogue.HEARTBEAT_AGE_SECONDS, state.heartbeat_age_s + age_s)
    yield Numbers(
        metric=catalogue.QUEUE_BYTES,
        values={
            ("commands",): sum(one.command_bytes for one in owners.values()),
            ("outcomes",): sum(one.outcome_bytes for one in owners.values()),
            ("inputs",): executor.input_bytes,
        },
    )
    yield Numbers(
        metric=catalogue.TIMER_OVERDUE_SECONDS,
        values={p: one.timer_overdue_s for p, one in owners.items()},
    )
    yield Numbers(
        metric=catalogue.PERMITS_IN_USE,
        values={p: one.permits_in_use for p, one in owners.items()},
    )
    yield Numbers(
        metric=catalogue.PERMITS_WAITING,
        values={p: one.permits_waiting for p, one in owners.items()},
    )
    yield Numbers(
        metric=catalogue.SNAPSHOT_BACKLOG,
        values={p: one.snapshot_backlog for p, one in owners.items()},
    )


def _of_runs(state: WorkerState, recorder: Recorder) -> Iterator[Numbers]:
    """Runs that go on and that wait, by the workflow whose start queue counts them."""
    in_use: Counter[Labels] = Counter()
    waiting: Counter[Labels] = Counter()
    for owner in _owners(state).values():
        for workflow, counts in owner.runs_by_workflow.items():
            labels = (recorder.label_of(workflow),)
            in_use[labels] += counts.in_use
            waiting[labels] += counts.waiting
    yield Numbers(metric=catalogue.RUN_PERMITS_IN_USE, values=in_use)
    yield Numbers(metric=catalogue.RUN_PERMITS_WAITING, values=waiting)


def _unplaced(monitor: WorkerMonitor) -> Iterator[tuple[str, int]]:
    """Attempts that nobody can run now, by what lacks."""
    if monitor.census is not None:
        yield from monitor.census.lacking.items()
    state = monitor.seen.state
    if state is not None:
        queued = sum(one.attempts_queued for one in _owners(state).values())
        yield "slot", max(0, queued - state.executor.queued)


def _owners(state: WorkerState) -> dict[Labels, OwnerState]:
    return {
        (str(one.partition),): one.owner
        for one in state.partitions
        if one.owner is not None
    }


def _of_log(monitor: WorkerMonitor) -> Iterator[Numbers]:
    """How far the log is ahead, and what there is."""
    ends, census = monitor.ends, monitor.census
    yield Numbers(
        metric=catalogue.COMMAND_LAG,
        values={(str(p),): one.commands for p, one in ends.items()},
    )
    yield Numbers(
        metric=catalogue.FOLD_LAG,
        values={(str(p),): one.events for p, one in ends.items()},
    )
    if census is None:
        return
    counts = {name: census.by_status.get(name, 0) for name in get_args(StatusName)}
    yield Numbers(
        metric=catalogue.INSTANCES, values={(n,): count for n, count in counts.items()}
    )
    yield _number(catalogue.STRANDED, census.stranded)
    yield Numbers(
        metric=catalogue.STORE_BYTES,
        values={(str(p),): size for p, size in census.store_bytes.items()},
    )

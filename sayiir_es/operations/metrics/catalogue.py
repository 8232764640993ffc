"""Every metric by its name: its kind, what it means, and its labels.

The documentation's table, the dashboard and the alerts are held to this list by tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; the name of a counter ends in `_total`, times are in seconds."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name=name, kind="counter", meaning=meaning, labels=labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name=name, kind="gauge", meaning=meaning, labels=labels)


def _histogram(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name=name, kind="histogram", meaning=meaning, labels=labels)


# --- what was decided -----------------------------------------------------------------

COMMANDS: Final = _counter(
    "sayiir_commands_total",
    "Commands that were decided: accepted, acknowledged (known already), rejected, "
    "deferred (a fork that reads its source), forwarded, or dead_lettered.",
    "result",
)
REJECTIONS: Final = _counter(
    "sayiir_rejections_total", "Commands that were rejected, by the code.", "code"
)
DECISIONS: Final = _counter(
    "sayiir_decisions_total",
    "Decisions on commands, outcomes, timers, and what a take-over found.",
)
EVENTS: Final = _counter(
    "sayiir_events_total", "Events that this worker appended, by kind.", "kind"
)
QUARANTINES: Final = _counter(
    "sayiir_quarantines_total",
    "Instances that were quarantined: an error that nobody foresaw.",
)
DEAD_LETTERS: Final = _counter(
    "sayiir_dead_letters_total", "Commands that nobody could read, put aside."
)
DECIDE_SECONDS: Final = _histogram(
    "sayiir_decide_seconds", "How long the decisions of one batch took."
)
APPEND_SECONDS: Final = _histogram(
    "sayiir_append_seconds", "How long the log took to acknowledge a batch."
)
TIMER_LATE_SECONDS: Final = _histogram(
    "sayiir_timer_late_seconds", "How late timers were that were decided on."
)
TIMER_OVERDUE_SECONDS: Final = _gauge(
    "sayiir_timer_overdue_seconds",
    "How late the earliest timer is that is due and not decided.",
    "partition",
)

# --- attempts -------------------------------------------------------------------------

ATTEMPTS: Final = _counter(
    "sayiir_attempts_total",
    "Attempts that ended here: completed, failed, timed_out, or withdrawn (taken back "
    "by a cancel, a pause, a hand-over, or the end of its run).",
    "workflow",
    "result",
)
RETRIES: Final = _counter(
    "sayiir_retries_total", "Attempts that failed and are tried again.", "workflow"
)
ATTEMPT_SECONDS: Final = _histogram(
    "sayiir_attempt_seconds", "How long attempts ran.", "workflow"
)
QUEUE_SECONDS: Final = _histogram(
    "sayiir_queue_seconds", "How long attempts that were due waited to run."
)
ATTEMPTS_RUNNING: Final = _gauge("sayiir_attempts_running", "Attempts that run.")
ATTEMPTS_QUEUED: Final = _gauge(
    "sayiir_attempts_queued", "Attempts that are due and wait for a slot."
)
ATTEMPTS_ELSEWHERE: Final = _gauge(
    "sayiir_attempts_elsewhere", "Attempts that executors elsewhere have."
)
PERMITS_IN_USE: Final = _gauge(
    "sayiir_permits_in_use",
    "Permits in use, of the limits that live in the partition.",
    "partition",
)
PERMITS_WAITING: Final = _gauge(
    "sayiir_permits_waiting",
    "Attempts that wait at the limits that live in the partition.",
    "partition",
)
RUN_PERMITS_IN_USE: Final = _gauge(
    "sayiir_run_permits_in_use",
    "Runs that go on, of the start queues that live in this worker's partitions.",
    "workflow",
)
RUN_PERMITS_WAITING: Final = _gauge(
    "sayiir_run_permits_waiting",
    "Runs that wait in the start queues that live in this worker's partitions.",
    "workflow",
)
SLOTS: Final = _gauge("sayiir_slots", "How many attempts may run at a time.")
THREADS_ABANDONED: Final = _gauge(
    "sayiir_threads_abandoned",
    "Threads that still run the code of attempts which were timed out.",
)

# --- partitions and the group ---------------------------------------------------------

PARTITIONS_ASSIGNED: Final = _gauge(
    "sayiir_partitions_assigned", "Partitions that the group lets this worker own."
)
PARTITION_SERVED: Final = _gauge(
    "sayiir_partition_served",
    "1 for an assigned partition that is served here, else 0.",
    "partition",
)
COMMAND_LAG: Final = _gauge(
    "sayiir_command_lag", "Commands on the log that are not decided.", "partition"
)
FOLD_LAG: Final = _gauge(
    "sayiir_fold_lag",
    "Events on the log that the store does not have; of an owner that serves, those "
    "of a batch in flight.",
    "partition",
)
CLAIMS: Final = _counter(
    "sayiir_claims_total",
    "Claims of partitions; taken_over says whether another's claim was displaced.",
    "taken_over",
)
TENURES_ENDED: Final = _counter(
    "sayiir_tenures_ended_total",
    "Tenures that an error ended, by its code: fenced, uncertain_append, store …",
    "reason",
)
HEARTBEATS: Final = _counter(
    "sayiir_heartbeats_total", "Answers of the group that confirm what is assigned."
)
HEARTBEAT_AGE_SECONDS: Final = _gauge(
    "sayiir_heartbeat_age_seconds",
    "How long ago the last heartbeat was sent that the group has answered; absent "
    "where there is no group.",
)

# --- memory, disk, loop ---------------------------------------------------------------

QUEUE_BYTES: Final = _gauge(
    "sayiir_queue_bytes",
    "Bytes that wait in memory: commands to be decided, outcomes to be decided, "
    "inputs of attempts that run.",
    "queue",
)
STORE_BYTES: Final = _gauge(
    "sayiir_store_bytes", "Bytes of a partition's snapshot store on disk.", "partition"
)
SNAPSHOT_BACKLOG: Final = _gauge(
    "sayiir_snapshot_backlog",
    "Instances whose latest snapshot is not published.",
    "partition",
)
LOOP_LAG_SECONDS: Final = _histogram(
    "sayiir_loop_lag_seconds", "How late the worker's event loop comes to what is due."
)
LOOP_AGE_SECONDS: Final = _gauge(
    "sayiir_loop_age_seconds", "How long ago the worker's event loop turned last."
)

# --- instances ------------------------------------------------------------------------

INSTANCES: Final = _gauge(
    "sayiir_instances",
    "Instances of the partitions served here, by status; counted now and then, while "
    "somebody scrapes.",
    "status",
)
STRANDED: Final = _gauge(
    "sayiir_instances_stranded",
    "Instances of the partitions served here that wait for code this worker lacks, or "
    "for an executor that is not there; counted as those by status.",
)

ATTEMPTS_UNPLACED: Final = _gauge(
    "sayiir_attempts_unplaced",
    "Attempts that are due and that nobody can run, by what lacks: code or a tag of "
    "this worker, an executor that is not there, or a free slot of those that are; all "
    "but the last are counted as instances are.",
    "lack",
)

# --- requests -------------------------------------------------------------------------

REQUESTS: Final = _counter(
    "sayiir_requests_total", "Requests of clients to the owners here.", "kind"
)
REPLIES: Final = _counter(
    "sayiir_replies_total",
    "Replies of the owners here; result is ok, or the code of a refusal.",
    "kind",
    "result",
)
HTTP_REQUESTS: Final = _counter(
    "sayiir_http_requests_total",
    "Requests that `serve` or `dev` answered, by method, route and status.",
    "method",
    "route",
    "status",
)
HTTP_SECONDS: Final = _histogram(
    "sayiir_http_request_seconds", "How long `serve` took to answer.", "route"
)

# --- the process ----------------------------------------------------------------------

READY: Final = _gauge("sayiir_ready", "1 if `/health/ready` says so, else 0.")
BUILD_INFO: Final = _gauge("sayiir_build_info", "1; the build that runs.", "version")

WORKER_METRICS: Final = (
    *(COMMANDS, REJECTIONS, DECISIONS, EVENTS, QUARANTINES, DEAD_LETTERS),
    *(DECIDE_SECONDS, APPEND_SECONDS, TIMER_LATE_SECONDS, TIMER_OVERDUE_SECONDS),
    *(ATTEMPTS, RETRIES, ATTEMPT_SECONDS, QUEUE_SECONDS),
    *(ATTEMPTS_RUNNING, ATTEMPTS_QUEUED, ATTEMPTS_ELSEWHERE),
    *(PERMITS_IN_USE, PERMITS_WAITING, RUN_PERMITS_IN_USE, RUN_PERMITS_WAITING),
    *(SLOTS, THREADS_ABANDONED),
    *(PARTITIONS_ASSIGNED, PARTITION_SERVED, COMMAND_LAG, FOLD_LAG),
    *(CLAIMS, TENURES_ENDED, HEARTBEATS, HEARTBEAT_AGE_SECONDS),
    *(QUEUE_BYTES, STORE_BYTES, SNAPSHOT_BACKLOG),
    *(LOOP_LAG_SECONDS, LOOP_AGE_SECONDS, INSTANCES, STRANDED),
    ATTEMPTS_UNPLACED,
    *(REQUESTS, REPLIES, READY, BUILD_INFO),
)
"""What a worker publishes."""

SERVE_METRICS: Final = (HTTP_REQUESTS, HTTP_SECONDS, READY, BUILD_INFO)
"""What `serve` publishes."""

METRICS: Final = tuple(dict.fromkeys((*WORKER_METRICS, *SERVE_METRICS)))
"""All of them, in the order of the documentation."""

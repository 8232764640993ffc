"""What the owner of a partition says of it and of its process, as data of a reply.

Times are epoch milliseconds of the owner's clock, which is `now`. Lists are bounded,
with the number of what there is beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)

LISTED_MAX = 100
"""How many attempts, commands or workflows a report names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAttempt:
    """An attempt that runs in the owner's process.

    `since` is when it began, `deadline_at` when it is timed out; None where it is not.
    """

    instance_id: str
    workflow: str
    path: str
    attempt: int
    since: int | None = None
    deadline_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownExecutor:
    """An executor elsewhere that has offered slots to the owner's process.

    Attributes:
        executor: Its id.
        slots: How many attempts it runs at a time.
        held: How many it has from this process, of all partitions.
        free: How many more it takes from the owner of this partition.
        tags: It runs tasks whose tags are all among these.
        tasks: `workflow/task_id` of what it says it runs, the first of them.
        graphs: How many graphs it says it runs wholly.
        is_stopping: Whether it ends.
        ends_in_ms: When it is forgotten, unless it is heard of.
    """

    executor: str
    slots: int
    held: int = 0
    free: int = 0
    tags: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    graphs: int = 0
    is_stopping: bool = False
    ends_in_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecidedCommand:
    """A command that the owner has not decided, and why.

    `since` is when it was written, as far as that is known.
    """

    offset: int
    reason: str
    command: str = ""
    instance_id: str = ""
    since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReport:
    """A partition as its owner sees it.

    Attributes:
        owner_id: Of the process, different for every one that ever ran.
        worker_id: The name of the worker.
        build: The version of this library that it runs.
        now: Its clock.
        serving_since: When it began to decide.
        claim: The offset of its claim.
        is_recovering: Whether it still looks through what is owed behind a take-over.
        offset: The next event; it has folded all before it.
        events_end: The end of the events on the log.
        next_command: The next command to decide.
        commands_end: The end of the commands on the log.
        last_event_at: When the last event was decided.
        checkpoint: The digest of every event below `offset`, in hexadecimal digits.
        store_bytes: Of the files of its store; None where it has none.
        instances: How many instances there are by status; None where it was not asked.
        timers_due: How many timers are due and not decided, at most 1,000.
        timer_overdue_ms: How late the earliest of them is.
        running: Attempts that run, the longest first.
        running_count: How many there are.
        queued_attempts: How many of this partition wait for a slot.
        queued_commands: How many commands were read and are not decided.
        command_bytes: How many bytes these hold.
        outcome_bytes: How many bytes the outcomes hold that are not decided.
        slots: How many attempts the process may run at a time, of all partitions.
        slots_used: How many it runs.
        slots_queued: How many wait for a slot there.
        runs_attempts: Whether it runs any, or only decides.
        tags: It runs tasks whose tags are all among these; None: of any.
        workflows: The names of those whose code it has.
        undecided: Commands that wait, the first one and those that were deferred.
        undecided_count: How many wait in all.
        executors: Executors elsewhere that the process knows.
        executor_count: How many there are.
        attempts_elsewhere: How many attempts of this partition they have.
    """

    partition: int
    owner_id: str
    worker_id: str
    build: str
    now: int
    serving_since: int
    claim: int
    offset: int
    events_end: int
    next_command: int
    commands_end: int
    is_recovering: bool = False
    last_event_at: int | None = None
    checkpoint: str = ""
    store_bytes: int | None = None
    instances: Mapping[str, int] | None = None
    timers_due: int = 0
    timer_overdue_ms: int = 0
    running: tuple[RunningAttempt, ...] = ()
    running_count: int = 0
    queued_attempts: int = 0
    queued_commands: int = 0
    command_bytes: int = 0
    outcome_bytes: int = 0
    slots: int = 0
    slots_used: int = 0
    slots_queued: int = 0
    runs_attempts: bool = True
    tags: tuple[str, ...] | None = None
    workflows: tuple[str, ...] = ()
    undecided: tuple[UndecidedCommand, ...] = field(default=())
    undecided_count: int = 0
    executors: tuple[KnownExecutor, ...] = ()
    executor_count: int = 0
    attempts_elsewhere: int = 0

    @property
    def events_behind(self) -> int:
        """How many events it has not folded."""
        return max(0, self.events_end - self.offset)

    @property
    def commands_behind(self) -> int:
        """How many offsets of the commands it has not decided."""
        return max(0, self.commands_end - self.next_command)


def report_data(report: PartitionReport) -> dict[str, object]:
    """A report as data of a reply."""
    return asdict(report)


def read_report(data: Any) -> PartitionReport:
    """The report of a reply; a newer build may say more, an older one less.

    Raises:
        KeyError, TypeError: if it is none.
    """
    known = _known(PartitionReport, data)
    for name, kind in (("running", RunningAttempt), ("undecided", UndecidedCommand)):
        known[name] = tuple(kind(**_known(kind, one)) for one in data.get(name, ()))
    known["executors"] = tuple(map(_executor, data.get("executors", ())))
    tags = known.get("tags")
    known["tags"] = None if tags is None else tuple(tags)
    known["workflows"] = tuple(known.get("workflows", ()))
    return PartitionReport(**known)


def _executor(data: Any) -> KnownExecutor:
    known = _known(KnownExecutor, data)
    for name in ("tags", "tasks"):
        known[name] = tuple(known.get(name, ()))
    return KnownExecutor(**known)


def _known(kind: type[Record], data: Any) -> dict[str, Any]:
    """The fields of a record that are in the data."""
    return {item.name: data[item.name] for item in fields(kind) if item.name in data}

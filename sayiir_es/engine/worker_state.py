"""What one worker is doing, as a value: for health checks and gauges.

It is made on the event loop of the worker and read anywhere. To make it costs no read
of the log or of a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.engine.attempts.executor_port import ExecutorState
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.flow.queue_use import RunCounts

PartitionPhase: TypeAlias = Literal["opening", "claiming", "serving", "stopped"]
"""Its store is opened; its events are folded, to be claimed; its owner decides; it
cannot go on in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerState:
    """How far the owner of a partition is. Times in seconds.

    Attributes:
        offset: The next event to fold or to append.
        next_command: The next command to decide.
        turn_age_s: How long ago its loop began a turn; one that is idle begins one a
            second.
        queued_commands: Commands that were read and are not decided.
        command_bytes: How many bytes these hold.
        outcome_bytes: How many bytes outcomes hold that are not decided.
        timer_overdue_s: How late the earliest timer is that is due; 0 if none is.
        snapshot_backlog: How many instances' snapshots are not published.
        attempts_elsewhere: How many attempts executors elsewhere have.
        attempts_queued: How many wait for a slot, here or there.
        permits_in_use: How many permits of limits of this partition are in use.
        permits_waiting: How many attempts wait at these limits.
        runs_by_workflow: How many runs go on, and wait, by the start queues of this
            partition.
    """

    offset: int
    next_command: int
    turn_age_s: float
    queued_commands: int = 0
    command_bytes: int = 0
    outcome_bytes: int = 0
    timer_overdue_s: float = 0.0
    snapshot_backlog: int = 0
    attempts_elsewhere: int = 0
    attempts_queued: int = 0
    permits_in_use: int = 0
    permits_waiting: int = 0
    runs_by_workflow: Mapping[str, RunCounts] = field(
        default_factory=dict[str, "RunCounts"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """A partition that this worker supervises.

    Attributes:
        is_assigned: Whether the group lets this worker own it.
        refusal: Why it is given up, if it is.
        last_trouble: What ended the last tenure, if an error did and none serves now.
        owner: Where its owner stands, if its store is open.
    """

    partition: int
    phase: PartitionPhase
    is_assigned: bool
    refusal: Refusal | None = None
    last_trouble: Refusal | None = None
    owner: OwnerState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A worker as it is now.

    Attributes:
        assigned: The partitions that the group lets it own.
        partitions: Those that it supervises, by number.
        has_joined: Whether it has joined the group.
        is_following: Whether it learns of changes of the group.
        is_stopping: Whether it drains, or has ended.
        heartbeat_age_s: How long ago the last heartbeat was sent that the group has
            answered; None where there is no group.
        confirmations: How often the group has confirmed what is assigned.
        executor: What runs, and what waits for a slot.
    """

    assigned: frozenset[int]
    partitions: tuple[PartitionState, ...]
    has_joined: bool
    is_following: bool
    is_stopping: bool
    heartbeat_age_s: float | None
    confirmations: int
    executor: ExecutorState

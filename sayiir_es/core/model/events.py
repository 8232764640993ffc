"""Every event kind as a value: what stands on the events topic, without its bytes.

An `Event` is an envelope (the six common fields of the contract) around a *body* (the
kind's own fields). `decide` makes bodies, the draft of a decision stamps them, `evolve`
folds them, `wire` turns them into Avro. The name of a body's class is its kind. Times
are milliseconds since the Unix epoch, UTC. Payloads are JSON bytes of the user's codec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model import attempt_events, partition_events, try_events
from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceEnded,
    ChildInstanceRequested,
    ChildInstanceSent,
    ChildStartRefused,
)
from sayiir_es.core.model.compensation_events import CompensationEvent
from sayiir_es.core.model.debounce_events import DebounceEvent
from sayiir_es.core.model.permit_events import PermitEvent
from sayiir_es.core.model.run_permit_events import RunPermitEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

LoopMark: TypeAlias = Literal["none", "again", "done"]
LoopOutcome: TypeAlias = Literal["again", "done", "last", "exceeded"]


# --- of the partition -----------------------------------------------------------------

PartitionClaimed = partition_events.PartitionClaimed
CommandForwarded = partition_events.CommandForwarded
CommandDeadLettered = partition_events.CommandDeadLettered
CommandDeferred = partition_events.CommandDeferred
CommandsLost = partition_events.CommandsLost


# --- answers to commands --------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRejected:
    """The command was read and refused; `code` is stable, `message` is for people."""

    command: str
    command_id: str
    code: str
    message: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAcknowledged:
    """The command changes nothing: a `duplicate`, or the state is what it wishes."""

    command: str
    command_id: str
    code: Literal["duplicate", "unchanged"]
    answered_by: int


# --- a run ----------------------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStarted:
    """A new run; its first node opens in the same decision.

    It fails at `deadline_at`, if there is one. Its attempts belong to `traceparent`.
    `parent` is the instance that started it by a node, and is told of its end where
    there is a `parent_secret`.
    """

    command_id: str
    workflow: str
    definition_hash: str
    graph_digest: str
    input: bytes
    conflict_policy: str
    attributes: Mapping[str, str]
    deadline_at: int | None = None
    version: str | None = None
    traceparent: str | None = None
    parent: str | None = None
    parent_run: int = 0
    parent_path: str = ""
    parent_secret: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """A cancel was accepted; it applies when nothing runs."""

    command_id: str
    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """A pause was accepted; it applies when nothing runs."""

    command_id: str
    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUnpaused:
    """The run goes on; a pause that was only requested is revoked."""

    command_id: str
    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTerminated:
    """The run was ended by `terminate_existing`. Terminal."""

    command_id: str
    reason: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPaused:
    """Nothing runs any more and nothing begins until `WorkflowUnpaused`."""

    reason: str | None
    requested_by: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCompleted:
    """The run ended with `output`, the bytes themselves. Terminal."""

    output: bytes


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFailed:
    """The run failed at `path`. Terminal.

    What its completed tasks did was undone at the paths `compensated`, and could not be
    at `not_compensated`; the one that completed last stands first.
    """

    path: str
    error_type: str
    error: str
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCancelled:
    """The run was cancelled at the paths `interrupted_at`; the rest as in a failure."""

    reason: str | None
    requested_by: str | None
    interrupted_at: tuple[str, ...]
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRetried:
    """A failed run goes on as run + 1 on the kept rows.

    With an `input`, the node at which it failed has this one in place of its own. It
    has all of its time again, until `deadline_at`.
    """

    command_id: str
    input: bytes | None = None
    reason: str | None = None
    requested_by: str | None = None
    deadline_at: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowMigrated:
    """The instance goes on with another graph; `mapping` maps paths, old to new."""

    command_id: str
    graph_digest: str
    definition_hash: str
    mapping: Mapping[str, str]
    version: str | None = None
    reason: str | None = None
    requested_by: str | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceQuarantined:
    """A decision about it raised an error that nobody foresaw; it stands still.

    `decided_on` says what was being decided: for people, as `error` is.
    """

    error_type: str
    error: str
    decided_on: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReleased:
    """It is in quarantine no more: the next run goes on where it stood.

    It has all of its time again, until `deadline_at`.
    """

    command_id: str
    reason: str | None = None
    requested_by: str | None = None
    deadline_at: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowForked:
    """A new instance; the events 1 to `source_sequence` of another one follow.

    They are recorded again in the same decision, each with its sequence + 1.
    `source_run` is the run of the source in which the last of them stands.
    """

    command_id: str
    source_instance_id: str
    source_run: int
    source_sequence: int


# --- a cursor moves -------------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PositionUpdated:
    """The cursor waits for the outcome of `attempt` at `path`; starts at 1."""

    path: str
    attempt: int
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DelayStarted:
    """The cursor waits until `due_at`."""

    path: str
    due_at: int
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalAwaited:
    """The cursor waits for the oldest buffered signal of that name.

    `input` is the reference of what flowed in, where that flows on; else empty.
    """

    path: str
    signal: str
    until_at: int | None
    input: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ForkStarted:
    """The cursor waits for its branches, whose names are `branches`."""

    path: str
    branches: tuple[str, ...]
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class LoopStarted:
    """The cursor waits for the loop's body."""

    path: str
    input: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted:
    """The cursor waits for the child's chain."""

    path: str
    input: str


# --- something ended ------------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted:
    """The result of `path`; ends its retry state and its deadline.

    `compensable`: what it did is undone if the run fails or is cancelled.
    """

    path: str
    attempt: int
    output: bytes
    loop: LoopMark
    worker: str
    compensable: bool = False


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRecorded:
    """The attempt failed; the next one is due at `next_retry_at`, not before."""

    path: str
    attempt: int
    error_type: str
    error: str
    timed_out: bool
    next_retry_at: int
    worker: str
    error_class: str = ""
    source_line: str = ""
    causes: tuple[str, ...] = ()
    traceback: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The attempt failed and no further one follows.

    `error_bases` names the error's class and those it inherits from.
    """

    path: str
    attempt: int
    error_type: str
    error: str
    timed_out: bool
    worker: str
    error_class: str = ""
    source_line: str = ""
    causes: tuple[str, ...] = ()
    traceback: str = ""
    error_bases: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineSet:
    """The attempt has its slot and begins; it is timed out at `deadline_at`."""

    path: str
    attempt: int
    deadline_at: int
    timeout_ms: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineCleared:
    """An attempt that had a deadline was withdrawn."""

    path: str
    attempt: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptWithdrawn:
    """The attempt came back without an outcome; it may be handed out again."""

    path: str
    attempt: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRestarted:
    """The attempt takes a slot again, after it may have begun under another owner."""

    path: str
    attempt: int
    restarts: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRejected:
    """The outcome was not due: late, second or foreign."""

    path: str
    attempt: int
    reason: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DelayElapsed:
    """The delay is over; its input passes through."""

    path: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived:
    """A signal was buffered; its own sequence is its name from here on."""

    command_id: str
    signal: str
    signal_id: str | None
    payload: bytes
    traceparent: str | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalConsumed:
    """The result of the wait at `path` is the signal of `signal_sequence`."""

    path: str
    signal_sequence: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SignalTimedOut:
    """No signal came in time; the wait's result is `null`.

    With an `error` the node has failed instead.
    """

    path: str
    error: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChosen:
    """The key function said `key`, which takes `branch`; never asked again."""

    path: str
    key: str
    branch: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class BranchCompleted:
    """A branch of a fork or route ended with `result`, a reference."""

    path: str
    branch: str
    result: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class LoopIterated:
    """An iteration (from 0) ended with `value`; `outcome` says what follows."""

    path: str
    iteration: int
    value: bytes
    outcome: LoopOutcome


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCompleted:
    """The child's chain ended with `result`, a reference."""

    path: str
    result: str


TryStarted = try_events.TryStarted
ErrorCaught = try_events.ErrorCaught
TryCompleted = try_events.TryCompleted


Body: TypeAlias = (
    PartitionClaimed
    | CommandForwarded
    | CommandDeadLettered
    | CommandDeferred
    | CommandsLost
    | CommandRejected
    | CommandAcknowledged
    | WorkflowStarted
    | CancelRequested
    | PauseRequested
    | WorkflowUnpaused
    | WorkflowTerminated
    | WorkflowPaused
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowRetried
    | WorkflowForked
    | WorkflowMigrated
    | InstanceQuarantined
    | InstanceReleased
    | CompensationEvent
    | PositionUpdated
    | DelayStarted
    | SignalAwaited
    | ForkStarted
    | LoopStarted
    | ChildStarted
    | TryStarted
    | ChildInstanceRequested
    | ChildInstanceSent
    | ChildInstanceEnded
    | ChildCancelSent
    | ChildStartRefused
    | ChildEndReported
    | TaskCompleted
    | RetryRecorded
    | TaskFailed
    | DeadlineSet
    | DeadlineCleared
    | AttemptWithdrawn
    | AttemptRestarted
    | attempt_events.AttemptPublished
    | OutcomeRejected
    | DelayElapsed
    | SignalReceived
    | SignalConsumed
    | SignalTimedOut
    | RouteChosen
    | BranchCompleted
    | LoopIterated
    | ChildCompleted
    | ErrorCaught
    | TryCompleted
    | PermitEvent
    | RunPermitEvent
    | DebounceEvent
)
"""A kind's own fields. Closed: `match` over it ends in `assert_never`."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact: the common fields and the kind's own in `body`.

    `sequence` starts at 1 per instance and is 0 where the event leaves no trace in one;
    `run` starts at 1; `claim` is −1 in a `PartitionClaimed`; `at` is in milliseconds.
    """

    claim: int
    instance_id: str
    run: int
    sequence: int
    at: int
    cause: str
    body: Body

    @property
    def kind(self) -> str:
        """The event kind, as in the schema's name and the record's header."""
        return type(self.body).__name__

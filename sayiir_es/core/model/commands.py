"""Commands: wishes that may be refused, as values.

`instance_id` and `command_id` are resolved already when a value of this module exists:
`wire` fills them from the record's key and position where the sender left them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.child_records import ChildEnd

ConflictPolicy: TypeAlias = Literal["fail", "use_existing", "terminate_existing"]
CONFLICT_POLICIES: tuple[ConflictPolicy, ...] = (
    "fail",
    "use_existing",
    "terminate_existing",
)


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorkflow:
    """Start a run of `workflow`; `definition_hash` pins its shape when given.

    So does `version`, where the empty one means that of no version. Without it the
    greatest version is taken. A start that a node of another instance asks for names
    that `parent`; with a `parent_secret`, which has to be in it, its end is reported.
    """

    instance_id: str
    command_id: str
    workflow: str
    input: bytes
    definition_hash: str | None = None
    conflict_policy: ConflictPolicy = "fail"
    attributes: Mapping[str, str]
    traceparent: str | None = None
    version: str | None = None
    parent: str | None = None
    parent_run: int = 0
    parent_path: str = ""
    parent_secret: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SendSignal:
    """Buffer a signal; `signal_id` makes it idempotent."""

    instance_id: str
    command_id: str
    signal: str
    payload: bytes
    signal_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWorkflow:
    """Cancel the run; running attempts may end first."""

    instance_id: str
    command_id: str
    reason: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseWorkflow:
    """Begin nothing new until an unpause."""

    instance_id: str
    command_id: str
    reason: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseWorkflow:
    """Go on after a pause, or revoke one that was only requested."""

    instance_id: str
    command_id: str
    reason: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWorkflow:
    """Let a failed run go on from the node that failed, with another input if given."""

    instance_id: str
    command_id: str
    input: bytes | None = None
    reason: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateWorkflow:
    """Let an instance go on with another graph of its workflow.

    `to` is a hash or digest, or how one begins, or `latest`; `mapping` maps the paths
    of nodes that have moved, without iterations.
    """

    instance_id: str
    command_id: str
    to: str
    mapping: Mapping[str, str]
    reason: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkWorkflow:
    """Begin instance `instance_id` with the history of another one.

    `source_sequence` is the sequence of the last event that is recorded again.
    """

    instance_id: str
    command_id: str
    source_instance_id: str
    source_sequence: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOutcome:
    """What an attempt ended with, from an executor in another process.

    `result` is `completed`, `failed` or `withdrawn`; the token is (run, path, attempt).
    `secret` is what came with the attempt. The rest says more of a failure, as
    `waits.ErrorDetails` does.
    """

    instance_id: str
    command_id: str
    run: int
    path: str
    attempt: int
    result: Literal["completed", "failed", "withdrawn"]
    output: bytes | None = None
    loop: Literal["none", "again", "done"] = "none"
    error_type: str | None = None
    error: str | None = None
    retriable: bool = True
    worker: str = ""
    secret: bytes | None = None
    error_class: str = ""
    source_line: str = ""
    causes: tuple[str, ...] = ()
    traceback: str = ""
    error_bases: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChildEnd:
    """How a child ended that the node at `path` started in `run`.

    `secret` is what the start brought; `child_run` is 0 where none was started.
    """

    instance_id: str
    command_id: str
    run: int
    path: str
    child_id: str
    child_run: int
    end: ChildEnd
    secret: str
    output: bytes | None = None
    error_type: str = ""
    error: str = ""
    error_bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPermit:
    """An attempt of `holder` asks a limit for one of at most `limit` permits.

    A `limit` of 0 stands for any number. With a `rate` the attempt takes a token.
    `instance_id` is that of the limit; `ask` names the ask in the holder.
    """

    instance_id: str
    command_id: str
    holder: str
    path: str
    ask: int
    limit: int
    rate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantPermit:
    """The limit of `key` gives the attempt that asked its permit of that number."""

    instance_id: str
    command_id: str
    key: str
    path: str
    ask: int
    permit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPermit:
    """No attempt of `holder` has that permit of the limit any more."""

    instance_id: str
    command_id: str
    holder: str
    permit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRunPermit:
    """The run of `holder` asks a start queue for one of at most `limit` permits.

    Where `queue_length` others wait it is refused; None: it waits behind any number.
    So it does where it goes on `again`, whatever is set. `ask` names the ask in the
    holder.
    """

    instance_id: str
    command_id: str
    holder: str
    ask: int
    limit: int
    queue_length: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRunPermit:
    """The start queue of `key` gives the run that asked its permit, or refuses it.

    Then `queue_length` is how many may wait there.
    """

    instance_id: str
    command_id: str
    key: str
    ask: int
    granted: bool
    queue_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRunPermit:
    """The run of `holder` has that permit, or waits for it, no more."""

    instance_id: str
    command_id: str
    holder: str
    ask: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DebounceStart:
    """Start the instance `start_id` once no other one came for `quiet_ms`.

    At the latest `max_ms` behind the first one of a burst; None: however long it lasts.
    The other fields are those of the start.
    """

    instance_id: str
    command_id: str
    start_id: str
    workflow: str
    input: bytes
    quiet_ms: int
    max_ms: int | None = None
    definition_hash: str | None = None
    conflict_policy: ConflictPolicy = "fail"
    attributes: Mapping[str, str]
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit:
    """Set how many attempts run at a time under a key, and how many begin in a time.

    None: what the tasks say. `instance_id` is that of the limit. Where it is that of a
    start queue, `max_running` and `queue_length` are set: how many runs go on, and how
    many others wait; None: what the workflow says.
    """

    instance_id: str
    command_id: str
    max_concurrency: int | None = None
    rate: str | None = None
    reason: str | None = None
    requested_by: str | None = None
    max_running: int | None = None
    queue_length: int | None = None


RunPermitCommand: TypeAlias = AskRunPermit | AnswerRunPermit | ReturnRunPermit
"""What owners write to one another about run permits."""

PermitCommand: TypeAlias = AskPermit | GrantPermit | ReturnPermit | SetLimit
"""What is written about permits: by owners to one another, and by who sets a limit."""

Command: TypeAlias = (
    StartWorkflow
    | SendSignal
    | CancelWorkflow
    | PauseWorkflow
    | UnpauseWorkflow
    | RetryWorkflow
    | MigrateWorkflow
    | ForkWorkflow
    | RecordOutcome
    | RecordChildEnd
    | AskPermit
    | GrantPermit
    | ReturnPermit
    | AskRunPermit
    | AnswerRunPermit
    | ReturnRunPermit
    | DebounceStart
    | SetLimit
)
"""Closed: `match` over it ends in `assert_never`."""

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
    greatest version is taken.
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
)
"""Closed: `match` over it ends in `assert_never`."""

"""The inputs of a decision: commands in their place, outcomes, timers, slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.waits import NO_DETAILS

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.position import CommandPosition
    from sayiir_es.core.model.waits import ErrorDetails

OutcomeResult: TypeAlias = Literal["completed", "failed", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHistory:
    """What the log holds of the instance whose history a `ForkWorkflow` asks for.

    Attributes:
        events: Its valid events with a sequence, 1, 2, 3 …, up to the one asked for, or
            to where they end.
        size: At most so many bytes they take in a batch when they are recorded again,
            with what takes their attempts back; beyond the limit some are left out.
        unreadable: Why they cannot be read, if so.
        rejection: The code under which the fork is rejected then.
    """

    events: tuple[Event, ...] = ()
    size: int = 0
    unreadable: str = ""
    rejection: Literal["not_found", "busy", "internal"] = "not_found"


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """A command with its place in the log; `known_origin` if a forward is repeated.

    `traceparent` is the trace context in which it came, or that of its decision.
    `running` is of a `MigrateWorkflow`: the paths of the instance whose attempts run.
    The rest is of a `ForkWorkflow`. `source` is what the log holds of its source; None
    as long as nobody has read it. `source_last` is the sequence of the source's last
    event, 0 for none, where it is on the partition that decides; else None. `deferred`
    is how many commands of the partition wait for such a reading already.
    """

    command: Command
    position: CommandPosition
    known_origin: bool = False
    source: SourceHistory | None = None
    source_last: int | None = None
    deferred: int = 0
    running: frozenset[str] = frozenset()
    traceparent: str | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the attempt with the token (run, path, attempt) ended with.

    `output` is set when it completed; `error_type`, `error`, `details` and the names
    of the error's class and its bases when it failed; `retriable` is false where
    another attempt cannot help (encode, decode, too large).
    """

    instance_id: str
    run: int
    path: str
    attempt: int
    result: OutcomeResult
    output: bytes | None = None
    loop: Literal["none", "again", "done"] = "none"
    error_type: str = ""
    error: str = ""
    retriable: bool = True
    timed_out: bool = False
    worker: str = ""
    details: ErrorDetails = NO_DETAILS
    error_bases: tuple[str, ...] = ()

    @property
    def token(self) -> tuple[str, int, str, int]:
        """What names the attempt: instance, run, path, number."""
        return (self.instance_id, self.run, self.path, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """A cursor's time has come: a delay, a signal's time-out or a deadline."""

    instance_id: str
    chain: str
    due_at: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """To which executor elsewhere an attempt goes, and with what.

    `secret_hash` is the SHA-256 of its secret; after `lease_ms` without a sign of life
    it is lost.
    """

    executor: str
    secret_hash: bytes
    lease_ms: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTaken:
    """An attempt has its slot; `restart` if it may have begun under another owner.

    `handout` says that the slot is one of an executor elsewhere.
    """

    instance_id: str
    run: int
    path: str
    attempt: int
    restart: bool
    handout: Handout | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """A new owner finds the instance; decides what the old one's end leaves open."""

    instance_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFailed:
    """A decision about the instance raised an error that nobody foresaw.

    `decided_on` says for people on what; `cause` is that of the decision, empty where
    it is what the instance is owed.
    """

    instance_id: str
    decided_on: str
    error_type: str
    error: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent:
    """The commands topic holds what an instance owed to another one.

    The start or the cancel of the child `name`, or what is said of an end or of a run
    permit, or a debounced start, in the row of that key. `refused` says why the log
    takes no such record, if it does not.
    """

    instance_id: str
    what: Literal["start", "cancel", "end", "run_permit", "debounced"]
    name: str
    secret: str
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitReturnSent:
    """The log has the command that returns a permit of the instance."""

    instance_id: str
    key: str
    permit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeCut:
    """The rest of a decision that was cut."""

    instance_id: str


Input: TypeAlias = (
    Commanded
    | Outcome
    | TimerDue
    | SlotTaken
    | TakenOver
    | MessageSent
    | PermitReturnSent
    | ResumeCut
    | DecisionFailed
)
"""What is decided on. Closed: `match` over it ends in `assert_never`."""

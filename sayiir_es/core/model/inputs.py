"""The inputs of a decision: commands in their place, outcomes, timers, slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.position import CommandPosition

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
    """

    events: tuple[Event, ...] = ()
    size: int = 0
    unreadable: str = ""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """A command with its place in the log; `known_origin` if a forward is repeated.

    `source` comes with a `ForkWorkflow`, read from the log before the decision.
    """

    command: Command
    position: CommandPosition
    known_origin: bool = False
    source: SourceHistory | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the attempt with the token (run, path, attempt) ended with.

    `output` is set when it completed; `error_type` and `error` when it failed;
    `retriable` is false where another attempt cannot help (encode, decode, too large).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTaken:
    """An attempt has its slot; `restart` if it may have begun under another owner."""

    instance_id: str
    run: int
    path: str
    attempt: int
    restart: bool


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
class ResumeCut:
    """The rest of a decision that was cut."""

    instance_id: str


Input: TypeAlias = (
    Commanded | Outcome | TimerDue | SlotTaken | TakenOver | ResumeCut | DecisionFailed
)
"""What is decided on. Closed: `match` over it ends in `assert_never`."""

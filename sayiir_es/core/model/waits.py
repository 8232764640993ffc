"""What a cursor waits for: the outcome of an attempt, a time, a signal, inner chains.

Times are epoch milliseconds; sequences are those of events of the instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What a person looks for behind an error; each part may be empty.

    Attributes:
        error_class: The class with its module, such as `shop.errors.CardDeclined`.
        source_line: The innermost line of the user's own code: `FILE:LINE in FUNCTION`.
        causes: The errors behind it as text, the nearest first.
        traceback: As Python prints it, without the engine's frames.
    """

    error_class: str = ""
    source_line: str = ""
    causes: tuple[str, ...] = ()
    traceback: str = ""


NO_DETAILS = ErrorDetails()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an attempt failed.

    `bases` names the error's class and those it inherits from.
    """

    error_type: str
    error: str
    timed_out: bool
    details: ErrorDetails = NO_DETAILS
    bases: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Awaiting:
    """The outcome of an attempt.

    `due` is the sequence of the event that made the attempt due, `not_before` the end
    of a backoff (0: none), `withdrawn` the sequence of its `AttemptWithdrawn` (0: not),
    `failure` how the attempt before it ended, `since` when the first one was due.
    `permit` names the permit that the attempt has, of the limit that its task names;
    empty: none.

    While it is handed to an `executor` elsewhere, `secret_hash` is that of its secret,
    and it is lost when nothing is heard of it for `lease_ms`. `earlier_hashes` are the
    last of those with which this attempt was handed out before, one after the other.
    """

    attempt: int
    due: int
    not_before: int = 0
    deadline_at: int | None = None
    timeout_ms: int | None = None
    withdrawn: int = 0
    restarts: int = 0
    failure: Failure | None = None
    since: int = 0
    permit: str = ""
    secret_hash: bytes = b""
    executor: str = ""
    lease_ms: int = 0
    earlier_hashes: bytes = b""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeping:
    """The end of a delay."""

    due_at: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A signal of that name, until `until_at` if there is a time-out.

    `since` is the sequence of its `SignalAwaited`: of several waits for one name the
    oldest gets the signal. `keeps_input` says that what flowed in flows on.
    """

    signal: str
    until_at: int | None
    since: int
    keeps_input: bool = False


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Nothing: the node has ended with `result`, a reference; moving on is owed."""

    result: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Nothing: the node has failed for good; the end of the run is owed."""

    failure: Failure


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """The branches of a fork, `left` of which have not ended."""

    left: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The branch of a route that the key took; `branch` is its path segment."""

    key: str
    branch: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Looping:
    """An iteration of a loop's body; they count from 0."""

    iteration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The chain of a child."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitingChild:
    """The end of a child that is an instance of its own."""

    child_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestingChild:
    """Nothing: its child is to be requested, anew where that was done before."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Trying:
    """The body of a try, or its handler: the segment of that chain."""

    branch: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunDeadline:
    """The time at which the whole run is out of time."""

    deadline_at: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitingRunPermit:
    """A permit of the start queue of `key`, of which at most `limit` are in use.

    `ask` is the sequence of the event that asked for it, `since` its time.
    """

    key: str
    limit: int
    ask: int
    since: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRunPermit:
    """Nothing: the run has its permit; its first node is to be opened, or was."""

    key: str
    ask: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Debouncing:
    """The end of a quiet time, of a start that is debounced."""

    due_at: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Granting:
    """Of a limit: the time from which on who waits longest may have a permit."""

    due_at: int


Wait: TypeAlias = (
    Awaiting
    | Sleeping
    | Listening
    | Ended
    | Broken
    | Branching
    | Routing
    | Looping
    | Inside
    | AwaitingChild
    | RequestingChild
    | Trying
    | RunDeadline
    | AwaitingRunPermit
    | HoldingRunPermit
    | Debouncing
    | Granting
)
"""Closed: `match` over it ends in `assert_never`."""


def has_a_result(wait: Wait) -> bool:
    """Whether the cursor's node has ended well, and only what follows is to come.

    By events of before there was one of its own for that, a wait whose time-out fails
    the run ends with `null`, and has not.
    """
    return isinstance(wait, Ended) and wait.result != "null"

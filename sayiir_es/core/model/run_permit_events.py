"""The kinds of event by which runs wait in the start queue of their workflow.

Theory of operation. A workflow says how many of its runs go on at a time. Each such run
holds a *run permit* from before its first node to its end. Who waits for one, and how
many are in use, is kept by a *start queue*: it has an id as an instance has, with a
history of its own, where `RunPermitQueued`, `RunPermitGranted`, `RunPermitRefused` and
`RunPermitReturned` stand. In the history of the instance stand `RunPermitAsked` and
`RunPermitTaken`. The ask is named by the sequence of its `RunPermitAsked`: no other one
of the instance ever has that number, so (holder, ask) names it everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

QUEUE_PREFIX = "$queue/"
"""How the id of a start queue begins; its key follows."""

MESSAGE_PREFIX = "Q"
"""How the keys of the rows begin that owe a message about a run permit."""

QUEUE_FULL = "queue_full"
"""The error type of a run that was refused, as too many wait."""

MessageKind: TypeAlias = Literal["ask", "return", "grant", "refusal"]
"""What is owed: two of them by an instance, two by a start queue."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitAsked:
    """Of an instance: its run goes on once it has a permit of the queue of `key`.

    At most `limit` are in use. Where `queue_length` others wait it is refused; None:
    it waits behind any number. So it does where the run goes on `again`, behind a retry
    or as a fork, whatever is set for the queue. `holder` is the instance: the copy in a
    fork's history asks for nothing.
    """

    holder: str
    key: str
    limit: int
    queue_length: int | None = None
    again: bool = False


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitTaken:
    """Of an instance: it has the permit, for its run if that still waits for it.

    `holder` is the instance that it was granted to, as above.
    """

    holder: str
    key: str
    ask: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitMessageSent:
    """Of either side: the command to `other` is in the log, and not owed any more.

    `other` is the key of a queue, or the id of an instance.
    """

    message: MessageKind
    other: str
    ask: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitQueued:
    """Of a start queue: the run of `holder` waits behind others.

    `limit` and `queue_length` are what its workflow says; None: any number may wait.
    """

    holder: str
    ask: int
    limit: int
    queue_length: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitGranted:
    """Of a start queue: the run of `holder` has a permit, in use from here on.

    `limit` and `queue_length` are what the workflow says whose run asked last.
    """

    holder: str
    ask: int
    limit: int
    queue_length: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitRefused:
    """Of a start queue: as many wait as may; the run of `holder` fails.

    `limit` is what its workflow says, `queue_length` the number in force.
    """

    holder: str
    ask: int
    limit: int
    queue_length: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class RunPermitReturned:
    """Of a start queue: the run of `holder` has its permit, or waits, no more."""

    holder: str
    ask: int


RunPermitEvent: TypeAlias = (
    RunPermitAsked
    | RunPermitTaken
    | RunPermitMessageSent
    | RunPermitQueued
    | RunPermitGranted
    | RunPermitRefused
    | RunPermitReturned
)
"""All of them."""


def queue_id(key: str) -> str:
    """The id under which the start queue of a key is kept."""
    return QUEUE_PREFIX + key


def is_queue(instance_id: str) -> bool:
    """Whether that id is one of a start queue, and not of an instance."""
    return instance_id.startswith(QUEUE_PREFIX)

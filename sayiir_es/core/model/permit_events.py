"""The kinds of event by which the permits of a limit pass from hand to hand.

Theory of operation. A limit says how many attempts under one key run at a time. It has
an id as an instance has, with a history of its own: there stand `PermitQueued`,
`PermitGranted` and `PermitReturned`, and `LimitSet` where somebody set it. In the
history of the instance whose attempt asked stand `PermitTaken` and `PermitReleased`.
The number of a permit is the sequence of its `PermitGranted`; with the key it
is its *name*, the same one in both histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

LIMIT_PREFIX = "$limit/"
"""How the id of a limit begins; its key follows."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PermitQueued:
    """Of a limit: an attempt of `holder` asked, and waits behind others.

    It gets its permit once fewer than `limit` are in use (0: any number), and, where
    its task names a `rate`, there is a token. `ask` is the sequence of the event of the
    holder that made the attempt due, withdrew it last, or ended a pause.
    """

    holder: str
    path: str
    ask: int
    limit: int
    rate: str | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PermitGranted:
    """Of a limit: the attempt that asked has a permit, which is in use from here on."""

    holder: str
    path: str
    ask: int
    limit: int
    rate: str | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PermitReturned:
    """Of a limit: the permit is in use no more."""

    permit: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """Of a limit: from here on this is in force, in place of what tasks say.

    None where what they say is in force. With a `max_concurrency` of 0 no permit is
    granted. In the history of a start queue it sets `max_running` and `queue_length`,
    in place of what the workflow says, and nothing else; in that of a limit neither.
    """

    command_id: str
    max_concurrency: int | None
    rate: str | None
    reason: str | None
    requested_by: str | None
    max_running: int | None = None
    queue_length: int | None = None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PermitTaken:
    """The instance has a permit, for the attempt at `path` if that still waits for it.

    `holder` is the instance that it was granted to: the copy in a fork's history gives
    the fork no permit.
    """

    holder: str
    path: str
    ask: int
    key: str
    permit: int


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class PermitReleased:
    """No attempt has the permit any more, and the limit was told."""

    holder: str
    key: str
    permit: int


PermitEvent: TypeAlias = (
    PermitQueued
    | PermitGranted
    | PermitReturned
    | LimitSet
    | PermitTaken
    | PermitReleased
)
"""All of them."""


def limit_id(key: str) -> str:
    """The id under which the limit of a key is kept."""
    return LIMIT_PREFIX + key


def is_limit(instance_id: str) -> bool:
    """Whether that id is one of a limit, and not of an instance."""
    return instance_id.startswith(LIMIT_PREFIX)


def permit_name(key: str, permit: int) -> str:
    """What names a permit among those of all limits."""
    return f"{permit}:{key}"

"""The events of a run that undoes what it did; `events` has the others.

A run fails or is cancelled, what still runs ends, and then the compensations of its
completed tasks run as any attempts do. `CompensationEnded` says of each what became of
it, and the terminal event names them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

CompensationReason: TypeAlias = Literal["failed", "cancelled"]


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationRequested:
    """The run failed at `path`, and what its tasks did is to be undone first.

    Nothing moves on; as soon as nothing runs, `CompensationStarted` or the end follows.
    """

    path: str
    error_type: str
    error: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationStarted:
    """Nothing runs any more: from here on what completed tasks did is undone.

    `interrupted_at` are the paths at which something was waited for.
    """

    reason: CompensationReason
    interrupted_at: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationEnded:
    """What the task at `path` did is undone, or could not be."""

    path: str
    undone: bool


CompensationEvent: TypeAlias = (
    CompensationRequested | CompensationStarted | CompensationEnded
)
"""All of them."""

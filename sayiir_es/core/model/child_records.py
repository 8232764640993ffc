"""What rows hold of a parent and of its children, and what commands are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

OnParentEnd: TypeAlias = Literal["cancel", "leave"]
ChildEnd: TypeAlias = Literal["completed", "failed", "cancelled", "terminated"]
CHILD_ENDS: tuple[ChildEnd, ...] = ("completed", "failed", "cancelled", "terminated")


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The node that started an instance: at `path`, in a run of `instance_id`."""

    instance_id: str
    run: int
    path: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChild:
    """A child that its parent has started, or is about to, and whose end it awaits.

    `input` is that of a start which is not known to be sent; else None. `is_told` says
    that its cancel was sent; `sequence` is that of the event that requested it.
    """

    path: str
    run: int
    sequence: int
    workflow: str
    version: str | None
    secret: str
    waits: bool
    on_parent_end: str
    input: bytes | None
    is_told: bool = False


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class EndReport:
    """What a parent is to be told of the end of one run of its child."""

    parent: Parent
    secret: str
    child_run: int
    end: str
    output: bytes | None = None
    error_type: str = ""
    error: str = ""
    error_bases: tuple[str, ...] = ()

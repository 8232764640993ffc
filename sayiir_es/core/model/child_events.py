"""Events between a parent and the children that it started as instances of their own.

A parent has `ChildInstanceRequested`, `ChildInstanceSent`, `ChildInstanceEnded` and
`ChildCancelSent`, a child `ChildStartRefused` and `ChildEndReported`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sayiir_es.core.fast_frozen import fast_frozen


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInstanceRequested:
    """The node at `path` starts another instance; the command is owed.

    `input` names what the child gets. Its bytes are `value` where they stand under no
    reference alone, as what a route gives. `secret`, in hex, is what the report of the
    child's end must bring. Without `waits` the node has ended with the child's id.
    """

    path: str
    child_id: str
    workflow: str
    version: str | None
    input: str
    value: bytes | None
    secret: str
    waits: bool
    on_parent_end: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInstanceSent:
    """The commands topic holds the start of that child."""

    path: str
    child_id: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildInstanceEnded:
    """The child has ended, as it reported; a node that waits for it has, too.

    `end` is completed, failed, cancelled or terminated; `child_run` is 0 for a child
    that was not started. `error_bases` names the error's class and its bases.
    """

    command_id: str
    path: str
    child_id: str
    child_run: int
    end: str
    output: bytes | None = None
    error_type: str = ""
    error: str = ""
    error_bases: tuple[str, ...] = ()


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCancelSent:
    """The commands topic holds a cancel of that child: its parent's run has ended."""

    path: str
    child_id: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStartRefused:
    """A start by the node `parent_path` of `parent` was rejected; to say so is owed."""

    parent: str
    parent_run: int
    parent_path: str
    parent_secret: str
    error_type: str
    error: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEndReported:
    """The commands topic holds what the parent is told of the end of that run.

    `child_run` is 0 where no run was started for it.
    """

    parent: str
    parent_path: str
    child_run: int

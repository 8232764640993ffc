"""What an instance waits for, in the words that searches and counts use.

Each is a kind and a name, such as `signal:approval` or `task:charge`; a kind alone
means any name. The sentence of a status says the same at length, with times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sayiir_es.core.model.rows import TERMINAL
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Cursor, Header

WaitedKind: TypeAlias = Literal[
    "task",
    "retry",
    "signal",
    "delay",
    "child",
    "unpause",
    "manual_retry",
    "code",
    "tag",
    "executor",
]
"""The outcome of a task's first attempt, or of one behind a failed one; a signal; the
end of a delay, or of a child that is an instance of its own; of a paused instance
`unpause`, of a quarantined one `manual_retry`; `code` or `tag`, if the owner cannot run
the attempt because it lacks that, `executor`, if none but one may that is not there."""

KINDS: tuple[WaitedKind, ...] = get_args(WaitedKind)

BY_ATTEMPT: frozenset[str] = frozenset(("task", "retry"))
"""Kinds that may turn out to be one of the following, by what the owner has."""
BY_OWNER: frozenset[str] = frozenset(("code", "tag", "executor"))

WAITED_MAX = 20
"""By how many different waits an instance is found."""


def waited_for(header: Header, cursors: list[Cursor]) -> tuple[str, ...]:
    """What an instance waits for, as far as its rows say; sorted, none twice."""
    if header.phase in TERMINAL:
        return ()
    if header.phase == "paused":
        return ("unpause",)
    if header.phase == "quarantined":
        return ("manual_retry",)
    waited = {
        WAITS[type(cursor.wait)].searched_as(cursor, cursor.wait) for cursor in cursors
    }
    waited.discard("")
    return tuple(sorted(waited)[:WAITED_MAX])


def without_code(
    waited: tuple[str, ...], name: str, kind: WaitedKind
) -> tuple[str, ...]:
    """The same, where the attempts of a task wait for what their owner lacks."""
    attempts = {f"{attempt}:{name}" for attempt in BY_ATTEMPT}
    return tuple(sorted({*waited} - attempts | {f"{kind}:{name}"}))


def kind_of(waiting_for: str) -> str:
    """The kind of a wait, or of a criterion."""
    return waiting_for.partition(":")[0]


def is_waited(waiting_for: str, waited: tuple[str, ...]) -> bool:
    """Whether a criterion is among what is waited for: a kind, or one with a name."""
    if ":" in waiting_for:
        return waiting_for in waited
    return any(kind_of(one) == waiting_for for one in waited)

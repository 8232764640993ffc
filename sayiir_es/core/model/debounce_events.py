"""The kinds of event by which of a burst of starts only the last one starts.

Theory of operation. Starts that are to be debounced are kept under the id
`$debounce/KEY`, as an instance is: with a home partition, a history, rows and a timer.
Each takes the place of the one before it. When none has come for as long as it was said
to be quiet, the last one is owed to the partition of its instance, as every start that
one instance owes to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

DEBOUNCE_PREFIX = "$debounce/"
"""How the id begins under which starts of a key are debounced; the key follows."""

START_PREFIX = "B"
"""How the keys of the rows begin that owe a start."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class StartDebounced:
    """A start waits until `due_at`, if no other one comes before.

    It takes the place of that of the instance `replaced`, if one waits. The burst began
    at `first_at`. The other fields are those of the start of the instance `start_id`.
    """

    command_id: str
    start_id: str
    workflow: str
    input: bytes
    first_at: int
    due_at: int
    replaced: str | None
    definition_hash: str | None
    conflict_policy: str
    attributes: Mapping[str, str]
    version: str | None
    traceparent: str | None


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DebounceElapsed:
    """It was quiet for long enough: the start of `start_id` is owed."""

    start_id: str


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DebouncedStartSent:
    """The log has the start of `start_id`, which is owed no more.

    `elapsed` is the sequence of its `DebounceElapsed`.
    """

    start_id: str
    elapsed: int


DebounceEvent: TypeAlias = StartDebounced | DebounceElapsed | DebouncedStartSent
"""All of them."""


def debounce_id(key: str) -> str:
    """The id under which the starts of a key are debounced."""
    return DEBOUNCE_PREFIX + key


def is_debounce(instance_id: str) -> bool:
    """Whether that id is one under which starts are debounced."""
    return instance_id.startswith(DEBOUNCE_PREFIX)

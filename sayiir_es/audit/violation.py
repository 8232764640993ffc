"""A broken invariant, with the place where it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """What was expected of the record at `partition`@`offset`, and what was seen.

    `invariant` is its number (`I1` … `I23`), or `checkpoint`, or `chain` of an export;
    `instance_id` is empty where no instance is concerned.
    """

    invariant: str
    partition: int
    offset: int
    instance_id: str
    expected: str
    seen: str


class BreachError(Exception):
    """Raised by a rule for an event that breaks an invariant; the checker adds where.

    Never leaves this package.
    """

    def __init__(self, invariant: str, expected: str, seen: str) -> None:
        super().__init__(f"{invariant}: expected {expected}, but {seen}")
        self.invariant = invariant
        self.expected = expected
        self.seen = seen

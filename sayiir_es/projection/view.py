"""What a store must do to be a view: write places and rows in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from sayiir_es.core.model.position import NO_CLAIM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a partition is folded: the next offset, and the claim in force there."""

    offset: int = 0
    claim: int = NO_CLAIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A view goes from one place of a partition to a later one."""

    partition: int
    before: Place
    after: Place


class View(Protocol[T_co]):
    """A store that writes places and what was folded in one transaction.

    `T_co` is what a fold works with: a cursor, a session.
    """

    def places(self, log_id: str) -> Mapping[int, Place]:
        """Return the places of partitions that were folded before.

        `log_id` names the log.

        Raises:
            StoreError: if the view was folded from another log.
        """
        ...

    def write(self, move: Move, fold: Callable[[T_co], None]) -> None:
        """Move on and call `fold` in one transaction: both or neither.

        Raises:
            FencedError: if the view is not at `move.before`.
        """
        ...

"""How much the limits of one partition are used: permits in use, and who waits.

Kept by limit, from what its rows say whenever they change or are read, so that nothing
is counted twice. A limit of which nothing is in use and nobody waits takes no room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.permit_rows import get_limit

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Rows


class LimitUse:
    """What is in use and waited for, in sum.

    Attributes:
        in_use: Permits in use.
        waiting: Attempts that wait at the limits.
    """

    def __init__(self) -> None:
        self.in_use = self.waiting = 0
        self._by_limit: dict[str, tuple[int, int]] = {}

    def note(self, limit: str, rows: Rows) -> None:
        """The rows of a limit were read, or have changed."""
        state = get_limit(rows)
        in_use, waiting = state.in_use, state.tail - state.head
        before_in_use, before_waiting = self._by_limit.pop(limit, (0, 0))
        self.in_use += in_use - before_in_use
        self.waiting += waiting - before_waiting
        if in_use or waiting:
            self._by_limit[limit] = (in_use, waiting)

    def clear(self) -> None:
        """Forget all: somebody else decides, or all is read again."""
        self.in_use = self.waiting = 0
        self._by_limit.clear()

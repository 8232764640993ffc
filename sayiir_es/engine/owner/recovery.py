"""Which instances a take-over has still to look at.

Theory of operation. The rest of a cut decision, and what becomes of attempts that ran
under the owner before, come before everything else *of the same instance*; instances do
not wait for one another. So the store's index of owing instances is read in portions,
and an instance that something else comes in for is recovered first, out of turn. Each
is recovered once: an instance that was touched is not looked at again, though it owes
something by then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import TERMINAL, get_cursors, get_header
from sayiir_es.engine.store.row_index import may_owe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.model.rows import Rows


class Recovery:
    """The instances that owed something at the claim, one after another.

    Attributes:
        is_over: Whether all of them were recovered.
    """

    def __init__(self, owing: Iterable[str]) -> None:
        self.is_over = False
        self._owing = iter(owing)
        self._again: deque[str] = deque()
        self._recovered: set[str] = set()

    def is_due(self, instance_id: str) -> bool:
        """Whether the instance may have to be recovered before anything else of it."""
        return not self.is_over and instance_id not in self._recovered

    def take(self) -> str | None:
        """The next instance to recover; None if there is none, then it is over."""
        while not self.is_over:
            instance_id = (
                self._again.popleft() if self._again else next(self._owing, "")
            )
            if not instance_id:
                self.is_over = True
                self._recovered.clear()
            elif instance_id not in self._recovered:
                return instance_id
        return None

    def repeat(self, instance_id: str) -> None:
        """The rest of its decision was cut again: it comes next."""
        self._again.append(instance_id)

    def recovered(self, instance_id: str) -> None:
        """Whatever comes in for the instance may be decided now."""
        if not self.is_over:
            self._recovered.add(instance_id)


def may_owe_anything(rows: Rows) -> bool:
    """Whether a take-over may find something to do in these rows."""
    header = get_header(rows)
    if header is None or header.phase in TERMINAL or header.phase == "unstarted":
        return False
    return may_owe(header) or any(may_owe(cursor) for _, cursor in get_cursors(rows))

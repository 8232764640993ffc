"""The selected instances, as one tenure goes on with them; see `SelectedInstances`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.model.permit_events import is_limit
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Cursor
    from sayiir_es.engine.selected_instances import SelectedInstances


class Selection:
    """Which instances an owner goes on with: all, or those that were selected.

    Attributes:
        to_begin: Selected, and not looked at since.
    """

    def __init__(self, selected: SelectedInstances | None) -> None:
        self.to_begin = deque(() if selected is None else selected)
        self._selected = selected
        self._begun: list[asyncio.Future[None]] = []
        """Who waits until those were looked at, and the batch is live."""

    @property
    def is_all(self) -> bool:
        """Whether the owner goes on with every instance."""
        return self._selected is None

    def __contains__(self, instance_id: str) -> bool:
        return self._selected is None or instance_id in self._selected

    def begin(self, instance_id: str) -> asyncio.Future[None]:
        """Have an instance looked at; done when that is live, or the tenure over."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.to_begin.append(instance_id)
        self._begun.append(begun)
        return begun

    def tell_begun(self) -> None:
        """What was to begin has begun, or this tenure has ended."""
        begun, self._begun = self._begun, []
        for future in begun:
            if not future.done():
                future.set_result(None)

    def ends(self, instance_id: str, due_at: int, cursor: Cursor) -> bool:
        """Whether this owner ends what is due: of all, or of what a call here runs.

        Of limits and start queues it does: what it runs may wait for them.
        """
        is_waited_for = is_limit(instance_id) or is_queue(instance_id)
        if self._selected is None or is_waited_for:
            return True
        if instance_id not in self._selected:
            return False
        is_held = WAITS[type(cursor.wait)].is_timer_held
        return not is_held or due_at < self._selected.wakes_before(instance_id)

"""The quiet time before a debounced start: a time that wakes, and no run.

It fires by `decide.debounce`, for there is no graph that a draft could be made by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.waits import Debouncing
from sayiir_es.core.nodes.kinds import WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.model.waits import Wait


def due_at(wait: Debouncing) -> int:
    """When it was quiet for long enough."""
    return wait.due_at


def is_debouncing(wait: Wait) -> bool:
    """Whether it is that wait, which needs no run."""
    return isinstance(wait, Debouncing)


DEBOUNCING = WaitKind(wait=Debouncing, may_owe=False, wakes_at=due_at, fires_at=due_at)

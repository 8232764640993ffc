"""How many bytes of inputs the attempts that run may hold, in one process.

An input that joins thousands of branches takes megabytes, and as many attempts run as
there are slots. Beyond the limit an attempt that has its slot waits, without its input,
until others have ended. One alone always has room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt, AttemptOwner

logger = get_logger(__name__)

BYTES_MAX = 64 * 1024 * 1024
"""How many bytes of inputs the attempts that run hold at most: twice the largest
input. Decoded they may take several times as much."""


class HeldInputs:
    """The bytes of inputs that are held, and who waits for room."""

    def __init__(self) -> None:
        self.size = 0
        self._sizes: dict[Attempt, int] = {}
        self._waiting: dict[AttemptOwner, None] = {}
        self._was_full = False

    def take(self, attempt: Attempt, size: int) -> bool:
        """Take room for an input; without it, the attempt's owner is told later.

        The limit is logged once, until nobody waits any more.
        """
        if self._sizes and self.size + size > BYTES_MAX:
            self._waiting[attempt.owner] = None
            if not self._was_full:
                self._was_full = True
                logger.info(
                    "executor.inputs_held_back",
                    task_id=attempt.path,
                    reason=(
                        f"the attempts that run hold inputs of {self.size} bytes; one "
                        f"of {size} bytes waits until others have ended"
                    ),
                )
            return False
        self._sizes[attempt] = size
        self.size += size
        return True

    def give_back(self, attempt: Attempt) -> None:
        """Give back what an attempt has, if any; those who wait try again."""
        size = self._sizes.pop(attempt, None)
        if size is None:
            return
        self.size -= size
        waiting, self._waiting = self._waiting, {}
        self._was_full = bool(waiting)
        for owner in waiting:
            owner.room_freed()

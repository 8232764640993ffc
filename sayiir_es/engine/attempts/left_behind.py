"""Threads that run on behind a time-out or a cancel: they can only be counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt

logger = get_logger(__name__)

TASKS_NAMED_MAX = 5


class LeftBehind:
    """The attempts whose threads were left behind, and how many slots they keep."""

    def __init__(self, free_max: int) -> None:
        self._free_max = free_max
        self._tasks: dict[Attempt, str] = {}
        self._slots_kept = 0

    def add(self, attempt: Attempt, task_id: str) -> bool:
        """A thread is left behind; whether the slot of its attempt is free again.

        The limit is logged once, until the threads are fewer again.
        """
        self._tasks[attempt] = task_id
        if len(self._tasks) <= self._free_max:
            return True
        self._slots_kept += 1
        if self._slots_kept == 1:
            names = Counter(self._tasks.values()).most_common(TASKS_NAMED_MAX)
            listed = ", ".join(f"{count} of {name!r}" for name, count in names)
            logger.warning(
                "executor.threads_exhausted",
                abandoned=len(self._tasks),
                reason=(
                    f"expected at most {self._free_max} threads to run on behind a "
                    f"time-out or a cancel, but there are {listed}: they keep their "
                    "slots until they end, and other attempts wait for these"
                ),
            )
        return False

    def remove(self, attempt: Attempt) -> bool:
        """The thread of an attempt has ended; whether a slot is free by that.

        It is the slot of any of them: those that are left may be within the limit now.
        """
        if self._tasks.pop(attempt, None) is None or not self._slots_kept:
            return False
        self._slots_kept -= 1
        return True

"""How many bytes of outcomes wait to be decided, for one partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt

logger = get_logger(__name__)

BYTES_MAX = 32 * 1024 * 1024
"""How many bytes of outcomes may wait before nothing more is started: what one slow
append lets come together."""


class WaitingOutcomes:
    """The bytes of the outcomes that wait: `size`."""

    def __init__(self) -> None:
        self.size = 0
        self._was_full = False

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may."""
        return self.size >= BYTES_MAX

    def add(self, attempt: Attempt) -> None:
        """An outcome waits. The limit is logged once, until none waits any more."""
        self.size += attempt.outcome_bytes
        if self.size >= BYTES_MAX and not self._was_full:
            self._was_full = True
            logger.warning(
                "dispatcher.outcomes_held_back",
                task_id=attempt.path,
                reason=(
                    f"outcomes of {self.size} bytes wait for the log; nothing more is "
                    "started meanwhile"
                ),
            )

    def remove(self, attempt: Attempt) -> None:
        """It is decided in the batch that is made."""
        self.size -= attempt.outcome_bytes
        if not self.size:
            self._was_full = False

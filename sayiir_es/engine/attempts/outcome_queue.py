"""The outcomes of one partition, from their delivery to the ack of their decision.

Theory of operation. An outcome that is decided into a batch is kept until the log has
acknowledged the batch. If the append fails, and this process stays the owner, it is
decided on again: what ran does not run twice. Until then its attempt is *told*, and is
not handed out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.executor_port import Token


class OutcomeQueue:
    """First come, first decided."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._taken: list[Outcome] = []
        self._told: set[Token] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def next_bytes(self) -> int:
        """The size of the next one's payload, in bytes."""
        return len(self._waiting[0].output or b"")

    def put(self, outcome: Outcome) -> None:
        """One more waits to be decided."""
        self._waiting.append(outcome)

    def put_told(self, outcome: Outcome) -> None:
        """One of an attempt that ran: it is not to run again."""
        self._told.add(outcome.token)
        self._waiting.append(outcome)

    def take(self) -> Outcome:
        """The next one, for the batch that is made."""
        outcome = self._waiting.popleft()
        self._taken.append(outcome)
        return outcome

    def acknowledged(self) -> None:
        """The batch is live: what was taken is decided for good."""
        for outcome in self._taken:
            self._told.discard(outcome.token)
        self._taken.clear()

    def undo(self) -> None:
        """The batch never became live: what was taken waits again, in its order."""
        self._waiting.extendleft(reversed(self._taken))
        self._taken.clear()

    def is_told(self, token: Token) -> bool:
        """Whether the attempt has run, and its outcome waits to be decided."""
        return token in self._told

    def is_coming(self, instance_id: str, run: int, path: str) -> bool:
        """Whether an outcome for that path waits to be decided."""
        return any(
            (outcome.instance_id, outcome.run, outcome.path) == (instance_id, run, path)
            for outcome in self._waiting
        )

    def clear(self) -> None:
        """Drop all."""
        self._waiting.clear()
        self._taken.clear()
        self._told.clear()

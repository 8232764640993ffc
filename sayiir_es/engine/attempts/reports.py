"""The outcomes of one partition that wait to be decided, and those being decided."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.core.model.inputs import Outcome
from sayiir_es.engine.attempts.attempt import State
from sayiir_es.engine.attempts.waiting_outcomes import WaitingOutcomes
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.core.model.inputs import DecisionFailed
    from sayiir_es.engine.attempts.attempt import Attempt

logger = get_logger(__name__)


class Reports:
    """First come, first decided; kept until the log has acknowledged the decision."""

    def __init__(self) -> None:
        self.waiting = WaitingOutcomes()
        self._reported: deque[Attempt] = deque()
        self._deciding: list[Attempt] = []
        """Their outcomes are decided in the batch that is made or in flight."""
        self._wanted: list[tuple[str, str]] = []
        """Instances and chains whose attempts are wanted again in that batch."""

    def __bool__(self) -> bool:
        """Whether an outcome is to be decided."""
        return bool(self._reported)

    @property
    def is_any(self) -> bool:
        """Whether an outcome is to be decided, or its decision to be acknowledged."""
        return bool(self._reported or self._deciding)

    @property
    def next(self) -> Attempt | None:
        """The next attempt whose outcome waits to be decided."""
        return self._reported[0] if self._reported else None

    def add(self, attempt: Attempt, outcome: Outcome | DecisionFailed) -> None:
        """An attempt has ended."""
        attempt.move(State.REPORTED)
        attempt.input, attempt.named, attempt.outcome = b"", None, outcome
        output = outcome.output if isinstance(outcome, Outcome) else None
        attempt.outcome_bytes = 0 if output is None else len(output)
        self._reported.append(attempt)
        self.waiting.add(attempt)

    def take(self) -> Outcome | DecisionFailed:
        """The next outcome, or why there will be none, for the batch that is made."""
        attempt = self._reported.popleft()
        self.waiting.remove(attempt)
        self._deciding.append(attempt)
        assert attempt.outcome is not None
        return attempt.outcome

    def put_back(self) -> None:
        """The batch has no room for what was taken last: it is the next again."""
        attempt = self._deciding.pop()
        self._reported.appendleft(attempt)
        self.waiting.add(attempt)

    def decided(self) -> Iterator[Attempt]:
        """The batch is live: the outcomes in it are decided for good."""
        for attempt in self._deciding:
            attempt.move(State.DECIDED)
            yield attempt
        self._deciding.clear()

    def want_again(self, instance_id: str) -> None:
        """An instance goes on in the batch in which outcomes of it are decided.

        An attempt that came back for a pause is owed again then, and still here: it is
        offered once more when the log has the batch.
        """
        for attempt in self._deciding:
            if attempt.instance_id == instance_id:
                self._wanted.append((instance_id, attempt.chain))

    def take_wanted(self) -> list[tuple[str, str]]:
        """The batch is live: what is to be offered again, by instance and chain."""
        wanted, self._wanted = self._wanted, []
        return wanted

    def keep(self) -> None:
        """The batch never became live: its outcomes are decided on again."""
        self._wanted.clear()
        self._reported.extendleft(reversed(self._deciding))
        for attempt in self._deciding:
            self.waiting.add(attempt)
        self._deciding.clear()


def tell_dropped(partition: int, attempts: Iterable[Attempt]) -> None:
    """Say how many of these ran here, or had ended, where their tenure is over."""
    ran = (State.RUNNING, State.REPORTED)
    begun = sum(one.state in ran and one.lease is None for one in attempts)
    if begun:
        logger.warning(
            "partition.attempts_dropped",
            partition=partition,
            running=begun,
            reason="expected to own the partition until they are recorded, but that is "
            "over: who owns it next runs them again",
        )

"""What follows from a batch that is live: timers, what is stopped or held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_requested
from sayiir_es.core.model.events import (
    AttemptWithdrawn,
    RetryRecorded,
    RouteChosen,
    TaskCompleted,
    TaskFailed,
)
from sayiir_es.core.model.rows import get_cursors, get_header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.model.rows import StagedRows
    from sayiir_es.engine.attempts.elsewhere import AttemptsElsewhere
    from sayiir_es.engine.attempts.holding import Holding
    from sayiir_es.engine.owner.batch import Batch
    from sayiir_es.engine.owner.offers import Offers
    from sayiir_es.engine.owner.outbox import Outbox
    from sayiir_es.engine.owner.timers import Timers
    from sayiir_es.engine.requests.decided_command import DecidedCommand

_OUTCOMES = (TaskCompleted, RetryRecorded, TaskFailed, RouteChosen, AttemptWithdrawn)
"""What the outcome of an attempt elsewhere is recorded as."""


class Following:
    """Acts on what one batch of a partition has changed."""

    def __init__(
        self,
        offers: Offers,
        timers: Timers,
        elsewhere: AttemptsElsewhere | None,
        holding: Holding,
        outbox: Outbox,
    ) -> None:
        self._dispatcher = offers.dispatcher
        self._offers = offers
        self._timers = timers
        self._elsewhere = elsewhere
        self._holding = holding
        self._outbox = outbox

    def tell_returned(self, decided: Iterable[DecidedCommand]) -> None:
        """Executors elsewhere have told how their attempts ended."""
        if self._elsewhere is None:
            return
        for one in decided:
            body = one.event.body
            if isinstance(body, _OUTCOMES):
                ran = not isinstance(body, AttemptWithdrawn)
                self._elsewhere.returned(one.event.instance_id, body.path, ran=ran)

    def follow_batch(self, batch: Batch) -> None:
        """Act on what the batch has changed of each instance."""
        for instance_id, staged in batch.staged.items():
            if staged.changes:
                self._follow(instance_id, staged, batch.now_ms)
                self._outbox.follow(instance_id, staged.base, staged.changes)

    def _follow(self, instance_id: str, staged: StagedRows, now_ms: int) -> None:
        """Arm, stop and hold back what one instance's live rows say by now."""
        rows, changes = staged.base, staged.changes
        header = get_header(rows)
        if header is None:
            return
        chains = [key[1:] for key in changes if key[0] == "c"]
        begins = "r" in changes  # a new run: what ran belongs to the old one
        everywhere = begins or header.phase != "running"
        self._dispatcher.drop_unwanted(
            instance_id, rows, None if everywhere else chains
        )
        if instance_id in self._offers.unpaused:
            self._offers.unpaused.discard(instance_id)
            chains = [chain for chain, _ in get_cursors(rows)]
        for chain in chains:
            self._timers.arm_cursor(instance_id, chain, rows, header)
        if is_requested(header):
            self._holding.hold(instance_id, rows, now_ms, chains)
        else:
            self._holding.unhold(instance_id)

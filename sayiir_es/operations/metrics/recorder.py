"""A meter that counts what an engine tells it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandRejected,
)
from sayiir_es.engine.meter import Meter
from sayiir_es.operations.metrics import catalogue
from sayiir_es.operations.metrics.series import (
    LONG_S,
    OTHER,
    SHORT_S,
    BoundedLabel,
    Family,
    Histogram,
    NestedFamily,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.inputs import OutcomeResult
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.meter import AppendedBatch
    from sayiir_es.operations.metrics.series import Buckets

_RESULTS: dict[type[Body], str] = {
    CommandRejected: "rejected",
    CommandAcknowledged: "acknowledged",
    CommandDeferred: "deferred",
    CommandForwarded: "forwarded",
    CommandDeadLettered: "dead_lettered",
}
"""What a command came to, by its first event; it is accepted by any other."""


class Recorder(Meter):
    """Counts for one engine, from the start of its process."""

    def __init__(
        self, clock: Clock, now_s: Callable[[], float] = time.perf_counter
    ) -> None:
        """`now_s` measures durations; `clock` tells whether a deadline has passed."""
        super().__init__(now_s)
        self._clock = clock
        self._workflow = BoundedLabel()
        self._attempts_of: dict[str, tuple[Buckets, dict[str, float]]] = {}
        """By workflow: how long attempts ran, and how many had which result."""
        self.commands = Family(catalogue.COMMANDS)
        self.rejections = Family(catalogue.REJECTIONS)
        self.decisions = Family(catalogue.DECISIONS)
        self.events = Family(catalogue.EVENTS)
        self.attempts = NestedFamily(catalogue.ATTEMPTS)
        self.retries = Family(catalogue.RETRIES)
        self.claims = Family(catalogue.CLAIMS)
        self.tenures_ended = Family(catalogue.TENURES_ENDED)
        self.requests = Family(catalogue.REQUESTS)
        self.replies = Family(catalogue.REPLIES)
        self.decide_s = Histogram(catalogue.DECIDE_SECONDS, SHORT_S)
        self.append_s = Histogram(catalogue.APPEND_SECONDS, SHORT_S)
        self.timer_late_s = Histogram(catalogue.TIMER_LATE_SECONDS, LONG_S)
        self.attempt_s = Histogram(catalogue.ATTEMPT_SECONDS, LONG_S)
        self.queue_s = Histogram(catalogue.QUEUE_SECONDS, LONG_S)
        self._waited = self.queue_s.of()
        self.loop_lag_s = Histogram(catalogue.LOOP_LAG_SECONDS, SHORT_S)

    def label_of(self, workflow: str) -> str:
        """The value of a label for the name of a workflow."""
        return self._workflow.of(workflow)

    @property
    def families(self) -> tuple[Family | NestedFamily, ...]:
        """The counters."""
        return (
            *(self.commands, self.rejections, self.decisions, self.events),
            *(self.attempts, self.retries, self.claims, self.tenures_ended),
            *(self.requests, self.replies),
        )

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        """The histograms."""
        return (
            *(self.decide_s, self.append_s, self.timer_late_s),
            *(self.attempt_s, self.queue_s, self.loop_lag_s),
        )

    # --- the port ---------------------------------------------------------------------

    def batch_appended(
        self, batch: AppendedBatch, *, decide_s: float, append_s: float
    ) -> None:
        """The log acknowledged a batch."""
        self.decisions.add((), batch.decisions)
        # The first header of an event is its kind.
        kinds = Counter([record.headers[0][1] for record in batch.records])
        for kind, count in kinds.items():
            self.events.add((kind.decode(),), count)
        for command in batch.decided:
            body = command.event.body
            self.commands.add((_RESULTS.get(type(body), "accepted"),))
            if isinstance(body, CommandRejected):
                self.rejections.add((body.code,))
        for late_ms in batch.timers_late_ms:
            self.timer_late_s.observe(late_ms / 1000)
        self.decide_s.observe(decide_s)
        self.append_s.observe(append_s)

    def attempt_retried(self, workflow: str) -> None:
        """An attempt failed, and is tried again."""
        self.retries.add((self._workflow.of(workflow),))

    def attempt_started(self, workflow: str, waited_s: float) -> None:  # noqa: ARG002
        """An attempt runs, which had been due for so long."""
        self._waited.observe(waited_s)

    def attempt_ended(self, workflow: str, result: OutcomeResult, ran_s: float) -> None:
        """The function of an attempt ended."""
        self._count_attempt(workflow, result, ran_s)

    def attempt_abandoned(
        self, workflow: str, deadline_at_ms: int | None, ran_s: float
    ) -> None:
        """A running attempt was taken back."""
        is_late = deadline_at_ms is not None and deadline_at_ms <= self._clock.now_ms()
        self._count_attempt(workflow, "timed_out" if is_late else "withdrawn", ran_s)

    def _count_attempt(self, workflow: str, result: str, ran_s: float) -> None:
        series = self._attempts_of.get(workflow)
        if series is None:
            name = self._workflow.of(workflow)
            series = self.attempt_s.of((name,)), self.attempts.of(name)
            if name != OTHER:  # others would fill the memory
                self._attempts_of[workflow] = series
        buckets, by_result = series
        buckets.observe(ran_s)
        by_result[result] = by_result.get(result, 0) + 1

    def claimed(self, *, taken_over: bool) -> None:
        """A partition was claimed."""
        self.claims.add(("true" if taken_over else "false",))

    def tenure_ended(self, reason: str) -> None:
        """An owner decides no longer."""
        self.tenures_ended.add((reason,))

    def request_came(self, kind: str) -> None:
        """A client asked something."""
        self.requests.add((kind,))

    def reply_sent(self, kind: str, code: str) -> None:
        """A client was told something."""
        self.replies.add((kind, code or "ok"))

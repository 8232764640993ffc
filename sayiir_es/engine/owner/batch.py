"""The next batch: decisions staged on one another, encoded as they are made.

Theory of operation. Each decision of a batch sees what those before it staged. Nothing
of it is live: the store learns of it by `commit`, after the log acknowledged the batch;
a batch whose append failed is dropped with all that it staged.

A decision goes in whole. One that is larger than the room left closes the batch, and is
made again as the first of the next one, which is empty: so it is made twice at most.
One that an empty batch does not take either never can be recorded: a command is
answered `too_large`, and where a decision of the instance itself is meant, `decide` has
made its run fail before it came to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.events import Event
from sayiir_es.core.model.inputs import Commanded, TimerDue
from sayiir_es.core.model.position import (
    Position,
    is_accepted,
    with_answer,
    with_origin,
)
from sayiir_es.core.model.rows import Rows, StagedRows, get_run
from sayiir_es.engine.owner.claim_records import extend_digest
from sayiir_es.engine.owner.deciding import decide_or_tell
from sayiir_es.engine.owner.failure_lines import FAILURES

if TYPE_CHECKING:
    from sayiir_es.core.draft import Decision, DecisionContext
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.position import CommandPosition
    from sayiir_es.engine.owner.decision_spans import DecisionSpans
    from sayiir_es.engine.owner.event_encoder import EventEncoder
    from sayiir_es.engine.requests.decided_command import DecidedCommand
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import NewRecord

SLACK_BYTES = 48 * 1024
"""What decisions mostly hold beside payloads, at most: two error texts, paths. With
less room than this nothing further is begun; where it was too little, the decision
waits for the next batch."""

SLACK_SHARE = 64
"""The slack is at most this part of a batch, where a log takes small ones only."""

RECORDS_MAX = 2_000
"""Records of one batch: keeps the latency of a full batch at some milliseconds."""


class Batch:
    """Decisions that go to the log together, and the rows behind them."""

    def __init__(
        self,
        store: SnapshotStore,
        context: DecisionContext,
        encoder: EventEncoder,
        spans: DecisionSpans | None = None,
    ) -> None:
        """Begin an empty batch; `context` takes the sizes of events from `encoder`.

        `spans` are those of its decisions, where this process traces.
        """
        self.store = store
        self.context = context
        self.now_ms = context.now_ms
        """The time of its decisions, in epoch milliseconds."""
        self._encoder = encoder
        self._spans = spans
        self.records: list[NewRecord] = []
        self.closed = False
        """Whether a decision did not fit: nothing may come before it any more."""
        self.staged: dict[str, StagedRows] = {}
        self._views: dict[str, Rows] = {}
        """The rows of each instance that was looked at: staged, or those of the store.
        """
        self.decided: list[DecidedCommand] = []
        """The commands that were decided, for those who asked for it."""
        self.failures: list[Event] = []
        """The failures of attempts and runs among its events."""
        self.decisions = 0
        """How many decisions are in it."""
        self.timers_late_ms: list[int] = []
        """How late each timer was that had an effect, in milliseconds."""
        self.base = -1
        """The offset of its first record, once the log holds it."""
        position = store.position
        self.next_command = position.next_command
        self.origins = position.origins
        self.deferred = position.deferred
        self._room = context.batch_bytes
        """How many bytes of records the log takes beside those that are in it."""
        self._slack = min(SLACK_BYTES, context.batch_bytes // SLACK_SHARE)

    def full(self, payload: int | None = None) -> bool:
        """Whether the next decision must wait for the next batch.

        `payload` is what its input carries, in bytes; None where that is not known: it
        may then be as large as payloads may be.
        """
        if not self.records:
            return False
        if payload is None:
            payload = self.context.limits.payload_bytes
        too_many = self.closed or len(self.records) >= RECORDS_MAX
        return too_many or self._room - self._slack < payload

    def view(self, instance_id: str) -> Rows:
        """The rows of an instance to look at only: does not count as touched."""
        rows = self._views.get(instance_id)
        if rows is None:
            rows = self._views[instance_id] = self.store.rows(instance_id)
        return rows

    def live(self, instance_id: str) -> Rows:
        """The rows of an instance without what is staged: behind `commit`, with it."""
        staged = self.staged.get(instance_id)
        return staged.base if staged is not None else self.store.rows(instance_id)

    def decide(self, input_: Input) -> Decision | None:
        """Make one decision and stage it; its caller looks whether it was cut.

        None if it is larger than the room left: nothing is staged, and the input has to
        be the first of the next batch. An error that nobody foresaw is its instance's
        trouble, or its command's: what the decision would have staged is dropped, and
        the instance quarantined, or the command rejected, instead.

        Raises:
            StoreError: if the store cannot be read.
            UnknownDefinitionError: if nobody published the graph of the run.
        """
        if self.closed:
            return None
        if self._spans is None or not isinstance(input_, Commanded):
            return self._decide(input_)
        return self._decide_in_span(input_, self._spans)

    def _decide_in_span(
        self, input_: Commanded, spans: DecisionSpans
    ) -> Decision | None:
        rows = self.view(input_.command.instance_id)
        decision = self._decide(spans.begin(input_, rows))
        if decision is None:
            spans.drop()
        else:
            spans.decided(decision.events)
        return decision

    def _decide(self, input_: Input) -> Decision | None:
        instance_id = (
            input_.command.instance_id
            if isinstance(input_, Commanded)
            else input_.instance_id
        )
        rows = self.view(instance_id)
        encoder, context = self._encoder, self.context
        encoder.traceparent = _traceparent_of(input_, rows)
        decision = decide_or_tell(input_, instance_id, rows, context, self._room)
        records = encoder.take(decision.events)
        if self.records and decision.size > self._room:
            self.closed = True
            return None
        if decision.changes:
            staged = self.staged.get(instance_id)
            if staged is None:
                staged = StagedRows(rows, {**decision.changes})
                self.staged[instance_id] = self._views[instance_id] = staged
            else:
                staged.apply(decision.changes)
        self.records += records
        self._room -= decision.size
        self.decisions += 1
        for event in decision.events:
            if type(event.body) in FAILURES:
                self.failures.append(event)
        if isinstance(input_, Commanded):
            self.answered(input_.position, decision.events[0].body)
        elif isinstance(input_, TimerDue) and records:
            self.timers_late_ms.append(self.now_ms - input_.due_at)
        return decision

    def add(self, event: Event) -> bool:
        """Take an event in, encoded; False if there is no room, as of `decide`."""
        self._encoder.traceparent = None
        size = self._encoder.size_of(event)
        records = self._encoder.take([event])
        if self.records and (self.closed or size > self._room):
            self.closed = True
            return False
        self.records += records
        self._room -= size
        return True

    def add_redirect(self, position: CommandPosition, redirect: Body) -> Event | None:
        """Record the redirect of a command; None if there is no room for it."""
        event = Event(
            claim=self.context.claim,
            instance_id="",
            run=0,
            sequence=0,
            at=self.now_ms,
            cause=position.cause(),
            body=redirect,
        )
        if not self.add(event):
            return None
        self.answered(position, redirect)
        return event

    def answered(self, position: CommandPosition, body: Body) -> None:
        """A command has its decision in this batch, which begins with `body`."""
        if position.offset >= self.next_command:
            self.next_command = position.offset + 1
            if position.origin is not None:
                self.origins = with_origin(
                    self.origins, position.origin, accepted=is_accepted(body)
                )
        self.deferred = with_answer(self.deferred, position, body)

    def knows_origin(self, position: CommandPosition, origin_end: int) -> bool:
        """Whether a forwarded command was answered before: its forward is repeated.

        `origin_end` is the end of the partition that forwarded it: what is not below
        was forged, and nothing was answered for it.
        """
        if position.origin is None:
            return False
        source, offset = position.origin
        return offset <= self.origins.get(source, -1) < origin_end

    def commit(self, base: int) -> None:
        """The log holds the batch from offset `base` on: make it live."""
        self.base = base
        for instance_id, staged in self.staged.items():
            self.store.apply(instance_id, staged.changes)
        position = self.store.position
        last = base + len(self.records) - 1
        before = extend_digest(position.digest, base, self.records[:-1])
        self.store.advance(
            Position(
                offset=last + 1,
                claim=position.claim,
                owner=position.owner,
                next_command=self.next_command,
                at=self.now_ms,
                origins=self.origins,
                deferred=self.deferred,
                digest=extend_digest(before, last, self.records[-1:]),
                last=last,
                last_before=before,
            )
        )


def _traceparent_of(input_: Input, rows: Rows) -> str | None:
    """The trace context of a decision: that of its command, else that of the run."""
    if isinstance(input_, Commanded) and input_.traceparent is not None:
        return input_.traceparent
    run = get_run(rows)
    return None if run is None else run.traceparent

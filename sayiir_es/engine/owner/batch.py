"""The next batch: decisions staged on one another, encoded as they are made.

Theory of operation. Each decision of a batch sees what those before it staged. Nothing
of it is live: the store learns of it by `commit`, after the log acknowledged the batch;
a batch whose append failed is dropped with all that it staged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.quarantine import on_error
from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    LogError,
    StoreError,
    UnknownDefinitionError,
)
from sayiir_es.core.model.inputs import Commanded
from sayiir_es.core.model.position import Position, is_accepted, with_origin
from sayiir_es.core.model.rows import Rows, StagedRows
from sayiir_es.engine.owner.claim_records import extend_digest
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.engine.record_size import RECORD_OVERHEAD_BYTES
from sayiir_es.log.batch_size import payload_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.core.draft import Decision, DecisionContext
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.position import CommandPosition
    from sayiir_es.core.model.rows import Row
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import NewRecord

logger = structlog.get_logger()

PARTITION_ERRORS = (LogError, MemoryError, StoreError, UnknownDefinitionError)
"""No instance's trouble: what the log or the store cannot give, whoever asks for it."""

SLACK_BYTES = 48 * 1024
"""What a decision may hold beside payloads: two error texts, paths, overheads."""

RECORDS_MAX = 2_000
"""Records of one batch: keeps the latency of a full batch at some milliseconds."""


class Batch:
    """Decisions that go to the log together, and the rows behind them."""

    def __init__(
        self, store: SnapshotStore, context: DecisionContext, max_bytes: int
    ) -> None:
        self.store = store
        self.context = context
        self.records: list[NewRecord] = []
        self.staged: dict[str, StagedRows] = {}
        self.next_command = store.position.next_command
        self.origins = store.position.origins
        self._size = 0
        self._max_bytes = max_bytes

    @property
    def now_ms(self) -> int:
        """The time of its decisions, in epoch milliseconds."""
        return self.context.now_ms

    def full(self, payload: int | None = None) -> bool:
        """Whether the next decision must wait for the next batch.

        `payload` is what its input carries, in bytes; None where that is not known: it
        may then be as large as payloads may be.
        """
        if not self.records:
            return False
        if payload is None:
            payload = self.context.limits.payload_bytes
        room = self._max_bytes - self._size - SLACK_BYTES
        return len(self.records) >= RECORDS_MAX or room < payload

    def view(self, instance_id: str) -> Rows:
        """The rows of an instance to look at only: does not count as touched."""
        staged = self.staged.get(instance_id)
        return staged if staged is not None else self.store.rows(instance_id)

    def live(self, instance_id: str) -> Rows:
        """The rows of an instance without what is staged: behind `commit`, with it."""
        staged = self.staged.get(instance_id)
        return staged.base if staged is not None else self.store.rows(instance_id)

    def decide(self, input_: Input) -> Decision:
        """Make one decision and stage it; its caller looks whether it was cut.

        An error that nobody foresaw is its instance's trouble, or its command's: what
        the decision would have staged is dropped, and the instance quarantined, or the
        command rejected, instead.

        Raises:
            StoreError: if the store cannot be read.
            UnknownDefinitionError: if nobody published the graph of the run.
        """
        instance_id = (
            input_.command.instance_id
            if isinstance(input_, Commanded)
            else input_.instance_id
        )
        rows, room = self.view(instance_id), self._max_bytes - self._size - SLACK_BYTES
        try:
            decision = decide(input_, rows, self.context, room)
            records = [to_record(event) for event in decision.events]
            too_large = self._too_large(records)
        except PARTITION_ERRORS:
            raise
        except Exception as error:
            logger.exception("instance.decision_failed", instance_id=instance_id)
            decision = on_error(input_, error, rows, self.context, room)
            records = [to_record(event) for event in decision.events]
            too_large = None
        if too_large is not None:
            logger.error("instance.decision_refused", instance_id=instance_id)
            decision = on_error(input_, too_large, rows, self.context, room)
            records = [to_record(event) for event in decision.events]
        if decision.changes:
            self._stage(instance_id, decision.changes)
        self._add_records(records)
        if isinstance(input_, Commanded):
            accepted = is_accepted(decision.events[0].body)
            self.answered(input_.position, accepted=accepted)
        return decision

    def _stage(self, instance_id: str, changes: Mapping[str, Row | None]) -> None:
        staged = self.staged.get(instance_id)
        if staged is None:
            staged = self.staged[instance_id] = StagedRows(self.store.rows(instance_id))
        staged.apply(changes)

    def add(self, events: Sequence[Event]) -> None:
        """Take events in, encoded."""
        self._add_records([to_record(event) for event in events])

    def _too_large(self, records: Sequence[NewRecord]) -> BatchTooLargeError | None:
        """Why a decision fits no batch at all, if so: then it never will."""
        size = payload_bytes(records)
        if size <= self._max_bytes:
            return None
        return BatchTooLargeError(
            f"expected a decision of at most {self._max_bytes} bytes, but {size} bytes"
        )

    def _add_records(self, records: Sequence[NewRecord]) -> None:
        for record in records:
            self.records.append(record)
            size = len(record.key or b"") + len(record.value or b"")
            self._size += RECORD_OVERHEAD_BYTES + size

    def answered(self, position: CommandPosition, *, accepted: bool) -> None:
        """A command has its decision in this batch, and was accepted or not."""
        self.next_command = max(self.next_command, position.offset + 1)
        if position.origin is not None:
            self.origins = with_origin(self.origins, position.origin, accepted=accepted)

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
                at=self.context.now_ms,
                origins=self.origins,
                digest=extend_digest(before, last, self.records[-1:]),
                last=last,
                last_before=before,
            )
        )

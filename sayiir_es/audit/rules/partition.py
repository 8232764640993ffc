"""I2, I4, I5, I6 and the claim rule: which records of a partition count, and how.

Theory of operation. A record counts iff the last `PartitionClaimed` before it is the
one that its `claim` header names. What a displaced owner wrote is skipped by its
headers; but the claim that it names must be one of this partition, for nobody else
writes events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.answers import AnswerRules
from sayiir_es.audit.rules.debounces import DebounceRules
from sayiir_es.audit.rules.instance import InstanceRules
from sayiir_es.audit.rules.limits import LimitRules
from sayiir_es.audit.rules.start_queues import StartQueueRules
from sayiir_es.audit.violation import BreachError, Violation
from sayiir_es.core.model.debounce_events import is_debounce
from sayiir_es.core.model.errors import DecodeError, UnknownEventError
from sayiir_es.core.model.events import (
    CommandDeadLettered,
    CommandDeferred,
    CommandForwarded,
    CommandsLost,
    Event,
    PartitionClaimed,
)
from sayiir_es.core.model.permit_events import is_limit
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.partitions import partition_of
from sayiir_es.wire.events import decode_event, read_headers

if TYPE_CHECKING:
    from sayiir_es.audit.rules.runs import GraphModels
    from sayiir_es.log.port import Record
    from sayiir_es.wire.events import EventHeaders

OF_PARTITION = frozenset(
    {
        PartitionClaimed,
        CommandForwarded,
        CommandDeadLettered,
        CommandDeferred,
        CommandsLost,
    }
)
CLAIM = PartitionClaimed.__name__


class PartitionRules:
    """Checks the records of one partition in order, or only those of one instance."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        graphs: GraphModels,
        instance_id: str | None = None,
    ) -> None:
        self.partition = partition
        self.next_offset = 0
        self.valid = 0
        """How many valid events were checked."""
        self.answers = AnswerRules(partition)
        self.instances = InstanceRules(graphs)
        self.limits = LimitRules()
        self.start_queues = StartQueueRules()
        self.debounces = DebounceRules()
        self._partitions = partitions
        self._instance_id = instance_id
        self._instance_key = None if instance_id is None else instance_id.encode()
        self._claim = -1
        self._claims: set[int] = set()
        self._at = 0
        self._decision = ("", "")

    def take(self, record: Record) -> list[Violation]:
        """Check the next record."""
        violations: list[Violation] = []
        if record.offset != self.next_offset:
            violations.append(
                self._violation(
                    record.offset,
                    "",
                    BreachError(
                        "I1", f"the record at {self.next_offset} next", "it is missing"
                    ),
                )
            )
        self.next_offset = record.offset + 1
        event: Event | None = None
        try:
            event = self._event_of(record)
            if event is not None:
                self.valid += 1
                self._check(event, record)
        except BreachError as breach:
            instance_id = _instance_of(record) if event is None else event.instance_id
            violations.append(self._violation(record.offset, instance_id, breach))
        violations += self.answers.compare()
        return violations

    def take_gap(self, first: int, past: int) -> None:
        """Skip offsets for which the log itself reports no record."""
        if first <= self.next_offset:
            self.next_offset = max(self.next_offset, past)

    def finish(self) -> list[Violation]:
        """What the end of the log leaves open and may not."""
        violations = [
            self._violation(
                self.next_offset,
                model.instance_id,
                BreachError(
                    model.required.invariant, f"{model.required} next", "the end"
                ),
            )
            for model in self.instances.live.values()
            if model.required is not None and not model.doubtful
        ]
        fork = self.instances.fork
        missing = fork.missing("the end")
        if missing is not None:
            violations.append(
                self._violation(self.next_offset, fork.instance_id, missing)
            )
        return violations + self.answers.finish()

    # --- which records count ----------------------------------------------------------

    def _event_of(self, record: Record) -> Event | None:
        """The event of a record; None where it does not count, or is not wanted."""
        headers = read_headers(record.headers)
        if headers is None:
            names = [name for name, _ in record.headers]
            raise BreachError("I6", "headers `kind` and `claim`", f"{names}")
        claims = headers.kind == CLAIM
        if not claims and headers.claim != self._claim:
            if headers.claim not in self._claims:
                raise BreachError(
                    "I2",
                    "the offset of a PartitionClaimed as the claim",
                    f"{headers.kind} under claim {headers.claim}",
                )
            return None
        if self._instance_key not in (None, record.key) and not claims:
            self._decision = ("", "")
            return None
        event = _decode(record)
        self._check_headers(event, headers)
        if claims:
            self._claim = record.offset
            self._claims.add(record.offset)
        return event

    @staticmethod
    def _check_headers(event: Event, headers: EventHeaders) -> None:
        if event.kind != headers.kind:
            raise BreachError("I6", f"{headers.kind}, as its header says", event.kind)
        claims = isinstance(event.body, PartitionClaimed)
        if claims and event.cause:
            raise BreachError("I2", "no cause of PartitionClaimed", repr(event.cause))
        expected = -1 if claims else headers.claim
        if event.claim != expected:
            raise BreachError("I2", f"claim {expected} in the event", f"{event.claim}")

    # --- what an event holds ----------------------------------------------------------

    def _check(self, event: Event, record: Record) -> None:
        """Check an event by all rules, even after one fails; raise the first breach."""
        decision = (event.instance_id, event.cause)
        of_partition = type(event.body) in OF_PARTITION
        begins = of_partition or decision != self._decision
        self._decision = decision
        first: BreachError | None = None
        try:
            self._check_stamp(event, record.key, begins=begins)
        except BreachError as breach:
            first = breach
        if not of_partition:
            try:
                self._rules_of(event.instance_id).check(event, begins=begins)
            except BreachError as breach:
                first = first or breach
        if self._instance_id is None:
            try:
                self.answers.check(event, record.offset, begins=begins)
            except BreachError as breach:
                first = first or breach
        if first is not None:
            raise first

    def _rules_of(
        self, instance_id: str
    ) -> InstanceRules | LimitRules | StartQueueRules | DebounceRules:
        if is_limit(instance_id):
            return self.limits
        if is_debounce(instance_id):
            return self.debounces
        return self.start_queues if is_queue(instance_id) else self.instances

    def _check_stamp(self, event: Event, key: bytes | None, *, begins: bool) -> None:
        # A claim may land long after it was written: it counts, time does not go back.
        before, self._at = self._at, max(self._at, event.at)
        if event.at < before and not isinstance(event.body, PartitionClaimed):
            raise BreachError("I4", f"`at` from {before} on", f"{event.at}")
        if begins and event.cause.startswith("takeover:"):
            self._check_takeover(event)
        self._check_home(event, key)

    def _check_takeover(self, event: Event) -> None:
        if event.cause != f"takeover:{self._claim}":
            raise BreachError("I2", f"takeover:{self._claim} as the cause", event.cause)

    def _check_home(self, event: Event, key: bytes | None) -> None:
        expected = event.instance_id.encode() or None
        if key != expected:
            raise BreachError("I5", f"the key {expected!r}", f"{key!r}")
        if type(event.body) in OF_PARTITION:
            if event.instance_id or event.sequence or event.run:
                raise BreachError(
                    "I5", f"no instance in {event.kind}", f"{event.instance_id!r}"
                )
            if isinstance(event.body, CommandForwarded):
                self._check_forward(event.body)
            elif isinstance(event.body, CommandDeferred):
                self._check_deferred(event.body)
        elif expected is not None and not self.instances.has_instance(
            event.instance_id
        ):
            home = partition_of(expected, self._partitions)
            if home != self.partition:
                raise BreachError(
                    "I5",
                    f"{event.instance_id!r} on partition {home}",
                    f"{event.kind} on {self.partition}",
                )

    def _check_forward(self, body: CommandForwarded) -> None:
        home = partition_of(body.forwarded_instance_id.encode(), self._partitions)
        if body.to_partition != home or home == self.partition:
            raise BreachError(
                "I5",
                f"a command of {body.forwarded_instance_id!r} to be sent to {home}",
                f"it was sent to {body.to_partition}",
            )

    def _check_deferred(self, body: CommandDeferred) -> None:
        home = partition_of(body.deferred_instance_id.encode(), self._partitions)
        if home != self.partition:
            raise BreachError(
                "I5",
                f"a command of {body.deferred_instance_id!r} on partition {home}",
                f"it was deferred on {self.partition}",
            )

    def _violation(
        self, offset: int, instance_id: str, breach: BreachError
    ) -> Violation:
        return Violation(
            invariant=breach.invariant,
            partition=self.partition,
            offset=offset,
            instance_id=instance_id,
            expected=breach.expected,
            seen=breach.seen,
        )


def _decode(record: Record) -> Event:
    try:
        return decode_event(record.value or b"")
    except (DecodeError, UnknownEventError) as error:
        raise BreachError("I6", "an event of a released schema", str(error)) from error


def _instance_of(record: Record) -> str:
    return (record.key or b"").decode("utf-8", "backslashreplace")

"""Verify records from anywhere: an export, a test, a stream of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.verify.checker import Checker
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.audit.violation import Violation
    from sayiir_es.log.port import Record
    from sayiir_es.wire.signing import PublicKeys


def verify_records(
    records: Iterable[tuple[Topic, int, Record]],
    *,
    partitions: int,
    instance_id: str | None = None,
    keys: PublicKeys | None = None,
) -> Iterator[Violation]:
    """Yield what breaks I1–I20, I22, I23 or a checkpoint of (topic, partition, record).

    Each partition's records come in order; the definitions before the events that name
    them, and the commands of a partition before the events that answer them. Records of
    other topics are passed over. With `keys` checkpoints must be signed.
    """
    checker = Checker(partitions=partitions, instance_id=instance_id, keys=keys)
    starts: dict[int, int] = {}
    for topic, partition, record in records:
        if topic is Topic.EVENTS:
            yield from checker.take(partition, record)
        elif topic is Topic.COMMANDS and instance_id is None:
            start = starts.setdefault(partition, record.offset)
            yield from checker.take_commands(
                partition, [record.offset], past=record.offset + 1, start=start
            )
        elif topic is Topic.DEFINITIONS:
            checker.take_definition(record.value)
    yield from checker.finish()

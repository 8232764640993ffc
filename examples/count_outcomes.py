"""A stream processor: a running count of outcomes for each workflow, by quixstreams.

    python -m examples.count_outcomes localhost:9092 sayiir

It needs `pip install quixstreams fastavro` and the folder `schemas/`. Counts go to the
topic APP.outcomes as JSON, keyed by the workflow's name, `{"completed": 17}`. Offsets,
state and output are committed together, so it may be killed at any time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition
from quixstreams import Application, message_context

from examples.consume_confluent import (
    ENDS,
    ClaimRule,
    Decoder,
    claim_before,
    open_consumer,
    until_end,
)

if TYPE_CHECKING:
    from quixstreams import State

OUTCOMES = {kind: outcome for kind, outcome in ENDS.items() if outcome != "paused"}
KINDS = {"WorkflowStarted", *OUTCOMES}
COMMIT_S = 1.0
TRANSACTION_MS = 5_000  # a transaction of a killed process is aborted after this


class ValidEvents:
    """The claim rule as a filter, for the partitions of this process."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._lookup = open_consumer(bootstrap)
        self._rules: dict[int, tuple[int, ClaimRule]] = {}

    def takes(self, _value: object, _key: object, _at: int, headers: Any) -> bool:
        """Return whether the record is a valid event of a kind that counts."""
        place = message_context()
        values = dict(headers)
        next_offset, rule = self._rules.get(place.partition, (-1, ClaimRule()))
        if values["kind"] == b"PartitionClaimed":
            rule = ClaimRule(place.offset)
        elif place.offset != next_offset:  # a new partition, or it comes back
            rule = ClaimRule(self._claim_before(place.partition, place.offset))
        self._rules[place.partition] = (place.offset + 1, rule)
        return values["kind"].decode() in KINDS and int(values["claim"]) == rule.claim

    def _claim_before(self, partition: int, offset: int) -> int:
        places = [TopicPartition(self._topic, partition, offset)]
        record = next(until_end(self._lookup, places))
        return claim_before(self._lookup, self._topic, record)


def outcome_of(
    event: dict[str, Any], instance: State[str, Any]
) -> dict[str, str] | None:
    """Return the outcome of a run, if this event ends one."""
    if event["kind"] == "WorkflowStarted":
        instance.set("workflow", event["workflow"])
        return None
    workflow: str = instance.get("workflow", "")
    return {"workflow": workflow, "outcome": OUTCOMES[event["kind"]]}


def count_outcome(ended: dict[str, str], workflow: State[str, Any]) -> dict[str, int]:
    """Return the counts of a workflow, with one more outcome."""
    counts: dict[str, int] = workflow.get("counts", {})
    counts[ended["outcome"]] = counts.get(ended["outcome"], 0) + 1
    workflow.set("counts", counts)
    return counts


def main(bootstrap: str, app: str, state_dir: str = "state") -> None:
    """Count until SIGTERM."""
    group = f"{app}.count-outcomes"
    processor = Application(
        bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=state_dir,
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_S,
        # When it is killed and started again, it gets its partitions back at once.
        consumer_extra_config={"group.instance.id": f"{group}-1"},
        producer_extra_config={"transaction.timeout.ms": TRANSACTION_MS},
    )
    events = processor.topic(
        f"{app}.events", key_deserializer="str", value_deserializer="bytes"
    )
    outcomes = processor.topic(
        f"{app}.outcomes", key_serializer="str", value_serializer="json"
    )
    (
        processor.dataframe(events)
        .filter(ValidEvents(bootstrap, events.name).takes, metadata=True)
        .apply(Decoder().decode)
        .apply(outcome_of, stateful=True)
        .filter(lambda ended: ended is not None)
        .group_by("workflow")
        .apply(count_outcome, stateful=True)
        .to_topic(outcomes)
    )
    processor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

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
TRANSACTION_MS = 5_000  # what a killed process has begun is given up after this


class ValidEvents:
    """The claim rule as a filter, over the partitions that this process is given."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._looker = open_consumer(bootstrap)
        self._rules: dict[int, tuple[int, ClaimRule]] = {}

    def takes(self, _value: object, _key: object, _at: int, headers: Any) -> bool:
        """Whether the record is a valid event, of a kind that counts."""
        place = message_context()
        told = dict(headers)
        expected, rule = self._rules.get(place.partition, (-1, ClaimRule()))
        if told["kind"] == b"PartitionClaimed":
            rule = ClaimRule(place.offset)
        elif place.offset != expected:  # begun in the middle, or had it not for a while
            rule = ClaimRule(self._claim_before(place.partition, place.offset))
        self._rules[place.partition] = (place.offset + 1, rule)
        return told["kind"].decode() in KINDS and int(told["claim"]) == rule.claim

    def _claim_before(self, partition: int, offset: int) -> int:
        places = [TopicPartition(self._topic, partition, offset)]
        record = next(until_end(self._looker, places))
        return claim_before(self._looker, self._topic, record)


def outcome_of(
    event: dict[str, Any], instance: State[str, Any]
) -> dict[str, str] | None:
    """What a run ended with, if this event ends one; its start named the workflow."""
    if event["kind"] == "WorkflowStarted":
        instance.set("workflow", event["workflow"])
        return None
    workflow: str = instance.get("workflow", "")
    return {"workflow": workflow, "outcome": OUTCOMES[event["kind"]]}


def counted(ended: dict[str, str], workflow: State[str, Any]) -> dict[str, int]:
    """The counts of a workflow, one more than before."""
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
        # Killed and started again, it takes its old place without a session's wait.
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
        .apply(counted, stateful=True)
        .to_topic(outcomes)
    )
    processor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

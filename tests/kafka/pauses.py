"""How long partitions decided nothing, from the valid events alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.kafka.reader import CLAIM

if TYPE_CHECKING:
    from tests.kafka.reader import EventReader, PartitionContent


def owner_at(content: PartitionContent, at_ms: int) -> str:
    """The worker whose claim was in force at a time; empty before the first."""
    owner = ""
    for event in content.valid:
        if event.at > at_ms:
            break
        if event.kind == CLAIM:
            owner = worker_of(event.text("owner"))
    return owner


def worker_of(owner: str) -> str:
    """The worker's name in an owner's id."""
    return owner.rpartition("/")[0]


def take_overs(reader: EventReader, victim: str, killed_ms: int) -> dict[int, int]:
    """Partition → milliseconds from a kill to the first event of another owner."""
    take_over_ms: dict[int, int] = {}
    for partition, content in reader.partitions.items():
        if owner_at(content, killed_ms) != victim:
            continue
        claim = -1
        for event in content.valid:
            if event.at > killed_ms and event.kind == CLAIM:
                claim = event.offset
            elif event.claim == claim >= 0 and event.kind != CLAIM:
                take_over_ms[partition] = event.at - killed_ms
                break
    return take_over_ms


def longest_pause(content: PartitionContent, since_ms: int, until_ms: int) -> int:
    """The longest time in milliseconds without a decision between two times."""
    times = [
        event.at
        for event in content.valid
        if event.kind != CLAIM and since_ms <= event.at <= until_ms
    ]
    marks = [since_ms, *times, until_ms]
    return max(b - a for a, b in pairwise(marks))


def stayed(reader: EventReader, since_ms: int, until_ms: int) -> set[int]:
    """Partitions that one worker owned all the time between two times."""
    return {
        partition
        for partition, content in reader.partitions.items()
        if owner_at(content, since_ms)
        and not any(
            event.kind == CLAIM and since_ms <= event.at <= until_ms
            for event in content.valid
        )
    }


def changes(reader: EventReader, since_ms: int, until_ms: int) -> dict[int, int]:
    """Partition → the pause around its change of owner between two times."""
    return {
        partition: _around(content, since_ms, until_ms)
        for partition, content in reader.partitions.items()
        if owner_at(content, since_ms) != owner_at(content, until_ms)
    }


def _around(content: PartitionContent, since_ms: int, until_ms: int) -> int:
    """The longest time between two decisions with a claim between them."""
    longest, last, claimed = 0, since_ms, False
    for event in content.valid:
        if event.kind == CLAIM:
            claimed = True
            continue
        if since_ms <= event.at <= until_ms and claimed:
            longest = max(longest, event.at - last)
        last, claimed = max(event.at, since_ms), False
    return longest

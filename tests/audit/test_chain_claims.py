"""Signatures, claims that land late, and claims of before there were checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit import chain as module
from sayiir_es.audit import chain_violations
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.signing import PublicKeys
from tests.audit.chained_records import (
    CLAIMS,
    KEY,
    KEYS,
    OTHER_KEY,
    Partition,
    check_found,
    digest_below,
    found,
    lied,
    proved,
    record_of,
    two_owners,
)

if TYPE_CHECKING:
    from sayiir_es.log.port import Record


def rewritten() -> list[Record]:
    """A log in which an event was changed, and every digest behind it made anew."""
    records = two_owners().records
    records[3] = lied(records[3])
    for at in CLAIMS:
        event = decode_event(records[at].value or b"")
        assert isinstance(event.body, PartitionClaimed)
        end = event.body.digest_end
        body = replace(event.body, digest=digest_below(records, end))
        records[at] = record_of(replace(event, body=body), at)
    return records


def test_a_log_rewritten_without_the_key_proves_nothing() -> None:
    records = rewritten()
    assert found(records) == []
    [violation] = found(records, KEYS)
    assert violation.expected == "a checkpoint that is signed with the public key"
    assert proved(records, KEYS).end == 0


def test_a_signature_of_another_key_is_found_at_its_claim() -> None:
    records = two_owners(OTHER_KEY).records
    assert [one.offset for one in found(records, KEYS)] == [*CLAIMS, 0]
    both = PublicKeys([KEY.public_key(), OTHER_KEY.public_key()])
    assert found(records, both) == []


def test_a_signature_is_of_its_partition_alone() -> None:
    topic = Partition(KEY, number=1)
    topic.claim()
    assert list(chain_violations(1, topic.records, KEYS)) == []
    assert found(topic.records, KEYS)[0].offset == 0


def test_a_claim_without_a_signature_proves_nothing_and_stops_no_proof() -> None:
    topic = Partition(KEY)
    topic.claim()
    topic.write(3)
    checkpoint = topic.checkpoint()
    event = Partition.event(
        -1,
        "",
        PartitionClaimed(
            owner="w",
            build="b",
            next_command=0,
            digest_end=checkpoint[0],
            digest=checkpoint[1],
        ),
    )
    topic.records.append(record_of(event, topic.end))
    topic.claimed = topic.end - 1
    assert (proved(topic.records, KEYS).end, proved(topic.records).end) == (0, 4)
    topic.write(2)
    topic.claim()
    assert found(topic.records, KEYS) == []
    assert proved(topic.records, KEYS).end == 7


# --- claims that land late, or are old ------------------------------------------------


def test_a_claim_covers_what_its_writer_had_folded_and_no_more() -> None:
    topic = Partition(KEY)
    topic.claim()
    topic.write(3)
    checkpoint = topic.checkpoint()
    topic.write(2)
    topic.claim(checkpoint)
    assert found(topic.records, KEYS) == []
    assert proved(topic.records, KEYS).end == 4
    lie = topic.records.copy()
    lie[5] = lied(lie[5])
    assert found(lie, KEYS) == []
    topic.write(1)
    topic.claim()
    lie = topic.records.copy()
    lie[5] = lied(lie[5])
    check_found(lie, 5)


def test_a_claim_that_lands_behind_later_checkpoints_breaks_nothing() -> None:
    topic = Partition(KEY)
    topic.claim()
    topic.write(3)
    checkpoint = topic.checkpoint()
    topic.write(3)
    topic.claim()
    topic.write(3)
    topic.claim(checkpoint)
    topic.write(2)
    topic.claim()
    assert found(topic.records, KEYS) == []
    assert proved(topic.records, KEYS).proved == topic.end - 1


def test_claims_of_before_there_were_checkpoints_are_passed() -> None:
    topic = Partition()
    topic.claim((0, b""))
    topic.write(3)
    topic.claim((0, b""))
    assert found(topic.records) == []
    assert proved(topic.records).end == 0
    topic.write(1)
    topic.claim()
    assert proved(topic.records).end == 6


@pytest.mark.parametrize("checkpoint", [(-1, bytes(32)), (1, b"short")])
def test_a_checkpoint_that_cannot_be_one_is_found(
    checkpoint: tuple[int, bytes],
) -> None:
    topic = Partition()
    topic.claim()
    topic.claim(checkpoint)
    assert [one.offset for one in found(topic.records)] == [1]


def test_a_checkpoint_of_more_than_stands_before_it_tells_that_something_is_gone() -> (
    None
):
    topic = Partition()
    topic.claim()
    topic.claim((9, digest_below(topic.records, 9)))
    [violation] = found(topic.records)
    assert violation.offset == 0
    assert violation.expected.startswith("what stands from here to 8 to have")


def test_a_checkpoint_of_nothing_has_the_digest_of_nothing() -> None:
    topic = Partition()
    topic.claim((0, b"x" * 32))
    assert [one.offset for one in found(topic.records)] == [0]


def test_as_many_digests_are_kept_as_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DIGESTS_MAX", 10)
    topic = Partition()
    topic.claim()
    topic.write(3)
    checkpoint = topic.checkpoint()
    topic.write(8)
    near = topic.checkpoint()
    topic.write(3)
    topic.claim(near)
    assert found(topic.records) == []
    topic = Partition(KEY)
    topic.claim()
    topic.write(20)
    topic.claim(checkpoint)
    [violation] = found(topic.records, KEYS)
    assert (violation.offset, violation.seen) == (21, "one of those before 4")

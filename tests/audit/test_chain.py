"""Who changes, drops, adds or swaps a record before a checkpoint is found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit import PartitionChain, chain_violations
from sayiir_es.audit import chain as module
from sayiir_es.core.events import DelayElapsed, PartitionClaimed
from sayiir_es.wire.events import decode_event, encode_event
from sayiir_es.wire.signing import PublicKeys
from tests.audit.chained import (
    KEY,
    OTHER_KEY,
    Partition,
    digest_below,
    record_of,
    renumbered,
    two_owners,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit import Proof, Violation
    from sayiir_es.log.port import Record

KEYS = PublicKeys([KEY.public_key()])
LAST = 17
"""Where the last checkpoint of `two_owners` stands, of what is below it."""

COUNTED = [n for n in range(LAST) if n not in (10, 11)]
CLAIMS = (0, 5, 12, 17)


def found(records: Sequence[Record], keys: PublicKeys | None = None) -> list[Violation]:
    return list(chain_violations(0, records, keys))


def proved(records: Sequence[Record], keys: PublicKeys | None = None) -> Proof:
    chain = PartitionChain(0, keys)
    for record in records:
        chain.take(record)
    return chain.proof


def check_found(records: Sequence[Record], at: int) -> None:
    """The first violation names the place, or a stretch up to a checkpoint with it."""
    first = found(records, KEYS)[0]
    assert (first.invariant, first.partition) == ("checkpoint", 0)
    if first.offset == at:
        return
    past = int(first.expected.split(" to ")[1].split(" ")[0])
    assert first.offset <= at <= past, first


def lied(record: Record) -> Record:
    """The record with another body, readable as before."""
    event = decode_event(record.value or b"")
    body = event.body
    if isinstance(body, DelayElapsed):
        body = replace(body, path="elsewhere")
    elif isinstance(body, PartitionClaimed):
        body = replace(body, owner="somebody")
    return replace(record, value=encode_event(replace(event, body=body)))


def test_what_owners_wrote_is_proved_up_to_the_last_checkpoint() -> None:
    topic = two_owners(KEY)
    assert found(topic.records) == found(topic.records, KEYS) == []
    proof = proved(topic.records, KEYS)
    assert (proof.end, proof.proved, proof.signed) == (LAST, len(COUNTED), True)
    assert proof.events == len(COUNTED) + 4
    assert not proved(topic.records).signed


@pytest.mark.parametrize("at", COUNTED)
def test_a_changed_record_is_found(at: int) -> None:
    records = two_owners(KEY).records
    records[at] = lied(records[at])
    check_found(records, at)
    assert found(records)


@pytest.mark.parametrize("at", COUNTED)
def test_a_changed_key_is_found(at: int) -> None:
    records = two_owners(KEY).records
    records[at] = replace(records[at], key=b"other")
    check_found(records, at)


@pytest.mark.parametrize("at", [n for n in COUNTED if n not in CLAIMS])
def test_a_changed_kind_or_claim_in_the_headers_is_found(at: int) -> None:
    records = two_owners(KEY).records
    (kind, _), claim = records[at].headers
    for headers in (
        ((kind, b"TaskCompleted"), claim),
        ((kind, b"DelayElapsed"), ("claim", b"3")),
        ((kind, b"DelayElapsed"),),
    ):
        other = records.copy()
        other[at] = replace(records[at], headers=headers)
        check_found(other, at)


@pytest.mark.parametrize("at", COUNTED)
@pytest.mark.parametrize("copied", [False, True])
def test_a_dropped_record_is_found(at: int, *, copied: bool) -> None:
    records = two_owners(KEY).records
    del records[at]
    check_found(renumbered(records) if copied else records, at)


@pytest.mark.parametrize("at", range(1, LAST))
def test_an_added_record_is_found(at: int) -> None:
    records = two_owners(KEY).records
    claim = max(claim for claim in CLAIMS if claim < at)
    forged = Partition.event(claim, "i", DelayElapsed(path="forged"))
    records.insert(at, record_of(forged, at))
    check_found(renumbered(records), at)


@pytest.mark.parametrize(("one", "other"), list(pairwise(COUNTED)))
def test_two_swapped_records_are_found(one: int, other: int) -> None:
    records = two_owners(KEY).records
    records[one], records[other] = records[other], records[one]
    check_found(renumbered(records), one)
    check_found(records, one)


@pytest.mark.parametrize("at", [10, 11])
def test_what_does_not_count_is_no_event_and_may_not_become_one(at: int) -> None:
    records = two_owners(KEY).records
    claim = ("claim", b"5")
    records[at] = replace(records[at], headers=(records[at].headers[0], claim))
    check_found(records, at)


@pytest.mark.parametrize("at", [LAST + 2, LAST + 3])
def test_what_stands_behind_the_last_checkpoint_is_not_proved(at: int) -> None:
    records = two_owners(KEY).records
    records[at] = lied(records[at])
    assert found(records, KEYS) == []
    assert proved(records, KEYS).end == LAST


def test_a_cut_tail_is_not_found_but_less_is_proved() -> None:
    records = two_owners(KEY).records[:LAST]
    assert found(records, KEYS) == []
    assert proved(records, KEYS).end == 12


# --- signatures -----------------------------------------------------------------------


def rewritten(key: object = None) -> list[Record]:
    """A log in which an event was changed, and every digest behind it made anew."""
    topic = two_owners(None if key is None else OTHER_KEY)
    records = topic.records
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
    made = topic.checkpoint()
    event = Partition.event(
        -1,
        "",
        PartitionClaimed(
            owner="w", build="b", next_command=0, digest_end=made[0], digest=made[1]
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
    made = topic.checkpoint()
    topic.write(2)
    topic.claim(made)
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
    made = topic.checkpoint()
    topic.write(3)
    topic.claim()
    topic.write(3)
    topic.claim(made)
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


@pytest.mark.parametrize("made", [(-1, bytes(32)), (1, b"short")])
def test_a_checkpoint_that_cannot_be_one_is_found(made: tuple[int, bytes]) -> None:
    topic = Partition()
    topic.claim()
    topic.claim(made)
    assert [one.offset for one in found(topic.records)] == [1]


def test_a_checkpoint_of_more_than_stands_before_it_tells_that_something_is_gone() -> (
    None
):
    topic = Partition()
    topic.claim()
    topic.claim((9, digest_below(topic.records, 9)))
    [violation] = found(topic.records)
    assert (violation.offset, violation.expected[:28]) == (
        0,
        "what stands from here to 8 t",
    )


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
    made = topic.checkpoint()
    topic.write(8)
    near = topic.checkpoint()
    topic.write(3)
    topic.claim(near)
    assert found(topic.records) == []
    topic = Partition(KEY)
    topic.claim()
    topic.write(20)
    topic.claim(made)
    [violation] = found(topic.records, KEYS)
    assert (violation.offset, violation.seen) == (21, "one of those before 4")

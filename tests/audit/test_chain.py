"""Who changes, drops, adds or swaps a record before a checkpoint is found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from sayiir_es.core.model.events import DelayElapsed
from tests.audit.chained_records import (
    CLAIMS,
    COUNTED,
    KEY,
    KEYS,
    LAST,
    Partition,
    check_found,
    found,
    lied,
    proved,
    record_of,
    renumbered,
    two_owners,
)


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

"""What filters and the claim rule read of an event without decoding it."""

from __future__ import annotations

import pytest

from sayiir_es.core.model.events import DelayElapsed, PartitionClaimed
from sayiir_es.wire.events import (
    EventHeaders,
    encode_event,
    encode_keyed,
    event_headers,
    read_headers,
)
from tests.wire.examples import minimal_event, populated_event


def test_headers_are_kind_and_decimal_claim_in_this_order() -> None:
    assert event_headers("TaskCompleted", 1001) == (
        ("kind", b"TaskCompleted"),
        ("claim", b"1001"),
    )
    assert event_headers("PartitionClaimed", -1)[1] == ("claim", b"-1")


@pytest.mark.parametrize("claim", [-1, 0, 7, 2**62])
def test_headers_are_read_back_among_others_in_any_order(claim: int) -> None:
    own = event_headers("SomethingNew", claim)
    expected = EventHeaders(kind="SomethingNew", claim=claim)
    assert read_headers(own) == expected
    assert read_headers((("ce_id", b"\xff"), *reversed(own))) == expected


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("kind", b"TaskCompleted"),),
        (("claim", b"1"),),
        (("kind", b""), ("claim", b"1")),
        (("kind", b"\xff"), ("claim", b"1")),
        (("kind", b"K" * 129), ("claim", b"1")),
        *(
            (("kind", b"TaskCompleted"), ("claim", claim))
            for claim in (b"", b"x", b" 1", b"1_0", b"01", b"-2", b"+1", b"1" * 20)
        ),
        (("kind", b"A"), ("kind", b"B"), ("claim", b"1")),
        (("kind", b"A"), ("claim", b"1"), ("claim", b"2")),
    ],
)
def test_missing_repeated_or_unreadable_headers_are_none(
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    assert read_headers(headers) is None


def test_the_key_is_the_instance_id_and_null_for_events_of_the_partition() -> None:
    event = populated_event(DelayElapsed(path="p"))
    assert encode_keyed(event) == ("order-7é".encode(), encode_event(event))
    claim = minimal_event(PartitionClaimed.__name__)
    assert encode_keyed(claim) == (None, encode_event(claim))

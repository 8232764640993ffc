"""`traceparent` of anybody's record: what counts as one, and what comes out."""

from __future__ import annotations

import pytest

from sayiir_es.core.model.commands import SendSignal, StartWorkflow
from sayiir_es.wire.trace_context import (
    TRACEPARENT_BYTES,
    TRACEPARENT_HEADER,
    parse_traceparent,
    read_traceparent,
    trace_headers,
    trace_id_of,
    traceparent_of,
    write_traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE[::-1]}-{SPAN}-00"


def read(value: bytes) -> str | None:
    """What a record with that header says."""
    return read_traceparent((("other", b"x"), (TRACEPARENT_HEADER, value)))


def test_it_is_read_written_and_taken_apart() -> None:
    assert read(GOOD.encode()) == GOOD
    assert parse_traceparent(GOOD) == (int(TRACE, 16), int(SPAN, 16), 1)
    assert write_traceparent(int(TRACE, 16), int(SPAN, 16), 1) == GOOD
    assert trace_id_of(GOOD) == TRACE
    assert trace_headers(GOOD) == ((TRACEPARENT_HEADER, GOOD.encode()),)
    assert trace_headers(None) == ()
    assert len(GOOD) == TRACEPARENT_BYTES


def test_what_a_later_version_adds_is_left_out() -> None:
    assert read(f"01-{TRACE}-{SPAN}-03-more".encode()) == f"00-{TRACE}-{SPAN}-03"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GOOD.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01more",
        GOOD + "\n",
        "é" * 55,
        "<img onerror=alert(1)>" * 5_000,
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert read(text.encode()) is None
    assert parse_traceparent(text) is None
    assert trace_id_of(text) is None


def test_a_body_wins_over_the_header_if_it_has_one() -> None:
    header = ((TRACEPARENT_HEADER, GOOD.encode()),)
    start = StartWorkflow(
        instance_id="i",
        command_id="c",
        workflow="w",
        input=b"1",
        attributes={},
        traceparent=OTHER,
    )
    signal = SendSignal(instance_id="i", command_id="c", signal="s", payload=b"1")
    assert traceparent_of(start, header) == OTHER
    assert traceparent_of(signal, header) == GOOD
    assert traceparent_of(signal, ()) is None

"""Events to bytes and back, with `fastavro` as the oracle."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.errors import DecodeError, EncodeError, UnknownEventError
from sayiir_es.core.model.events import (
    CancelRequested,
    DelayElapsed,
    Event,
    ForkStarted,
    PartitionClaimed,
    TaskCompleted,
)
from sayiir_es.wire.avro_record import read_record
from sayiir_es.wire.events import decode_event, decoding_of, encode_event
from sayiir_es.wire.schema import EVENT_NAMESPACE, HEAD_BYTES, parse_record
from tests.wire.examples import (
    EVENT_SCHEMAS,
    EVENTS,
    avro_json,
    event_of,
    minimal_event,
    populated_event,
)
from tests.wire.oracle import Oracle
from tests.wire.values import PATIENT, record_values

ORACLES = {kind: Oracle(f"{EVENT_NAMESPACE}.{kind}") for kind in EVENT_SCHEMAS}


def for_the_oracle(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


@st.composite
def kinds_with_values(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    kind = draw(st.sampled_from(sorted(EVENT_SCHEMAS)))
    return kind, draw(record_values(EVENT_SCHEMAS[kind]))


@given(kinds_with_values())
@settings(PATIENT, max_examples=400)
def test_events_are_written_and_read_as_fastavro_does(
    case: tuple[str, dict[str, Any]],
) -> None:
    kind, values = case
    event = event_of(EVENT_SCHEMAS[kind], values)
    data = encode_event(event)
    plain = {name: for_the_oracle(value) for name, value in values.items()}

    assert data[HEAD_BYTES:] == ORACLES[kind].write(plain)
    assert ORACLES[kind].read(data[HEAD_BYTES:]) == plain
    assert decode_event(data) == event


@pytest.mark.parametrize("kind", EVENT_SCHEMAS)
def test_the_head_is_the_magic_and_the_fingerprint_of_the_schema(kind: str) -> None:
    canonical = to_parsing_canonical_form(avro_json(f"{EVENT_NAMESPACE}.{kind}"))
    crc = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
    assert encode_event(minimal_event(kind)).startswith(b"\xc3\x01" + crc)


def test_the_fingerprint_is_little_endian_as_the_avro_specification_says() -> None:
    assert fingerprint('"null"', "CRC-64-AVRO") == "8a8f25cce724dd63"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_a_decoded_event_is_an_ordinary_value(event: Event) -> None:
    decode = decode_event(encode_event(event))
    assert repr(decode) == repr(event)
    assert decode.kind == event.kind
    assert replace(decode, claim=5) == replace(event, claim=5)


def test_blocks_with_a_size_and_several_blocks_are_read() -> None:
    event = populated_event(ForkStarted(path="f", branches=("a", "b"), input=""))
    data = encode_event(event)
    one_block = b"\x04\x02a\x02b\x00\x00"
    assert data.endswith(one_block)
    sized_blocks = b"\x01\x04\x02a" + b"\x02\x02b" + b"\x00\x00"
    assert decode_event(data.removesuffix(one_block) + sized_blocks) == event


def test_a_record_of_an_older_schema_takes_the_defaults_of_the_newest() -> None:
    newest = parse_record(json.dumps(avro_json(f"{EVENT_NAMESPACE}.CancelRequested")))
    avro = avro_json(f"{EVENT_NAMESPACE}.CancelRequested")
    del avro["fields"][-1]
    older = parse_record(json.dumps(avro))
    event = populated_event(
        CancelRequested(command_id="c", reason="r", requested_by="")
    )
    data = older.head + encode_event(event)[HEAD_BYTES:-2]
    assert read_record(older, newest, data)["requested_by"] is None
    (only,) = decoding_of(older, newest).defaults
    body = CancelRequested(command_id="c", reason="r", requested_by="ana")
    only[0](body, only[1])
    assert body.requested_by is None


# --- what cannot be written -----------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (replace(EVENTS[0], instance_id="\ud800"), "instance_id"),
        (replace(EVENTS[0], run=2**31), "run"),
        (replace(EVENTS[0], sequence=2**63), "sequence"),
        (replace(EVENTS[0], at=-(2**63) - 1), "at"),
        (replace(EVENTS[0], body=DelayElapsed(path="\udfff")), "path"),
        (
            replace(
                EVENTS[0],
                body=PartitionClaimed(owner="w", build="b", next_command=10**5000),
            ),
            "next_command",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_field(
    event: Event, field: str
) -> None:
    with pytest.raises(EncodeError, match=rf"{event.kind}\.{field} "):
        encode_event(event)


@pytest.mark.parametrize("wrong", [None, "text", 5, 1.5, object(), [b"x"]])
def test_a_value_of_the_wrong_type_is_refused_with_its_field(wrong: Any) -> None:
    body = TaskCompleted(path="p", attempt=1, output=wrong, loop="none", worker="")
    with pytest.raises(EncodeError, match=r"TaskCompleted\.output \(bytes\), but"):
        encode_event(populated_event(body))


def test_a_body_of_no_known_kind_is_refused() -> None:
    unknown: Any = object()
    with pytest.raises(EncodeError, match="expected a known event kind, but 'object'"):
        encode_event(populated_event(unknown))


# --- what cannot be read --------------------------------------------------------------


def decode(data: bytes) -> Event | DecodeError | UnknownEventError:
    """Return the event, or one of the two errors that are allowed."""
    try:
        return decode_event(data)
    except (DecodeError, UnknownEventError) as error:
        return error


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_cut_at_any_place_is_a_decode_error(event: Event) -> None:
    data = encode_event(event)
    for length in range(len(data)):
        with pytest.raises(DecodeError, match="expected"):
            decode_event(data[:length])
    with pytest.raises(DecodeError, match="1 more follow"):
        decode_event(data + b"\x00")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_a_damaged_event_is_another_event_or_a_typed_error(event: Event) -> None:
    data = bytearray(encode_event(event))
    for place in range(len(data)):
        for byte in (0x00, 0x01, 0x7F, 0x80, 0xFF, data[place] ^ 0x01):
            damaged = bytearray(data)
            damaged[place] = byte
            event_or_error = decode(bytes(damaged))
            if isinstance(event_or_error, Event):
                assert decode_event(encode_event(event_or_error)) == event_or_error
            else:
                assert len(str(event_or_error)) < 500


@given(st.binary(max_size=200), st.sampled_from(sorted(EVENT_SCHEMAS)))
@settings(PATIENT, max_examples=300)
def test_noise_after_a_good_head_is_an_event_or_a_typed_error(
    noise: bytes, kind: str
) -> None:
    event_or_error = decode(EVENT_SCHEMAS[kind].head + noise)
    if isinstance(event_or_error, Event):
        assert decode_event(encode_event(event_or_error)) == event_or_error
    else:
        assert isinstance(event_or_error, DecodeError)
        assert len(str(event_or_error)) < 500


def test_an_unknown_fingerprint_is_an_unknown_event_that_names_it() -> None:
    with pytest.raises(UnknownEventError, match=r"but 0102030405060708$"):
        decode_event(b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08 and more")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected an Avro record, but no bytes at all"),
        (b"{", "expected bytes that begin with c301, but 7b"),
        (b"\x00\x00\x00\x00\x01", "expected bytes that begin with c301, but 0000"),
        (b"\xc3\x01\x02", "expected a head of 10 bytes, but 3"),
    ],
)
def test_bytes_in_no_single_object_encoding_are_named_in_the_error(
    data: bytes, message: str
) -> None:
    with pytest.raises(DecodeError, match=f"^{message}$"):
        decode_event(data)


HEAD = EVENT_SCHEMAS["DelayElapsed"].head
LONG_MIN = b"\xff" * 9 + b"\x01"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (b"\x80\x80\x80\x80\x08", r"to the 0 bytes left, but 1073741824"),
        (b"\x03", r"from 0 to the 0 bytes left, but -2"),
        (LONG_MIN, r"but -9223372036854775808"),
        (b"\xff" * 10 + b"\x00", "expected an integer of at most 10 bytes"),
        (b"\xff" * 9 + b"\x7f", "expected a 64-bit integer"),
        (b"\x02\xff", r"expected UTF-8 in DelayElapsed\.path, but bytes ff"),
        (b"\x80", r"expected DelayElapsed\.path, but the record ends after 17 bytes"),
    ],
)
def test_a_bad_length_integer_or_text_is_refused(own: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_event(HEAD + b"\x00" * 6 + own)


@pytest.mark.parametrize("count", [b"\x80\x80\x80\x80\x08", LONG_MIN + b"\x00"])
def test_a_count_of_items_that_cannot_be_there_is_refused(count: bytes) -> None:
    head = EVENT_SCHEMAS["ForkStarted"].head
    with pytest.raises(DecodeError, match=r"ForkStarted\.branches"):
        decode_event(head + b"\x00" * 7 + count)


def test_an_int_beyond_32_bits_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"expected a 32-bit integer.* in Delay.*run"):
        decode_event(HEAD + b"\x00\x00" + b"\x80\x80\x80\x80\x10" + b"\x00" * 4)

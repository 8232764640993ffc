"""Users' values as JSON."""

from __future__ import annotations

import enum
import json
import math
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.payload import decode_payload, encode_payload
from tests.wire.values import JSON_VALUES, PATIENT


@given(JSON_VALUES)
@settings(PATIENT)
def test_what_json_can_carry_comes_back_as_it_was(value: Any) -> None:
    data = encode_payload(value)
    assert decode_payload(data) == value
    assert encode_payload(decode_payload(data)) == data


def decode(data: bytes) -> object:
    """Return the value, or the only error that is allowed."""
    try:
        return decode_payload(data)
    except DecodeError as error:
        return error


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
@settings(PATIENT)
def test_any_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    value_or_error = decode(data)
    if isinstance(value_or_error, DecodeError):
        assert str(value_or_error).startswith("expected JSON")


def test_the_form_is_compact_utf_8_in_the_order_given() -> None:
    value = {"b": [1, 2.5, None], "a": "é", "c": {"z": True, "y": False}}
    expected = '{"b":[1,2.5,null],"a":"é","c":{"z":true,"y":false}}'
    assert encode_payload(value) == expected.encode()


def test_keys_that_are_numbers_booleans_or_none_become_text_as_json_does() -> None:
    value: dict[Any, int] = {7: 1, 2.5: 2, True: 3, None: 4}
    assert encode_payload(value) == json.dumps(value, separators=(",", ":")).encode()


def test_a_value_shaped_like_branch_results_is_only_a_value() -> None:
    value = [["a", {"x": 1}], ["b", 2]]
    assert decode_payload(encode_payload(value)) == value


def loop() -> list[Any]:
    own: list[Any] = []
    own.append({"again": own})
    return own


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Colour(enum.Enum):
    """A class, which no value is."""

    RED = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "a object (not JSON serializable) at $"),
        ({"a": [memoryview(b"x")]}, "a memoryview (not JSON serializable) at $.a[0]"),
        ({"a": ({1, 2j},)}, "a complex (not JSON serializable) at $.a[0][1]"),
        ([1, Colour], "a EnumType (not JSON serializable) at $[1]"),
        (math.nan, "nan at $"),
        ({"x": {"y": math.inf}}, "inf at $.x.y"),
        ([-math.inf], "-inf at $[0]"),
        ({math.nan: 1}, "a key that is nan at $"),
        ({(1, 2): 1}, "a key that is a tuple (not JSON serializable) at $"),
        ({"a": {2j: 1}}, "a key that is a complex (not JSON serializable) at $.a"),
        (["\ud800"], "text with a lone surrogate at $[0]"),
        ({"\udfff": 1}, "a key that is text with a lone surrogate at $"),
        ([10**5000], "an int of too many digits at $[0]"),
        (loop(), "a list that holds itself at $[0].again"),
        (1j, "a complex (not JSON serializable) at $"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_type_and_path(
    value: object, message: str
) -> None:
    with pytest.raises(EncodeError) as raised:
        encode_payload(value)
    assert str(raised.value) == f"expected a JSON value, but {message}"


def test_a_socket_in_a_result_is_named() -> None:
    with (
        socket.socket() as open_socket,
        pytest.raises(EncodeError, match=r"but a socket \(not JSON.*\) at \$\.a\[0\]$"),
    ):
        encode_payload({"a": [open_socket]})


def test_a_value_nested_without_end_is_refused_both_ways() -> None:
    with pytest.raises(EncodeError, match="nested too deeply"):
        encode_payload(deep(100_000))
    with pytest.raises(DecodeError, match="nested too deeply"):
        decode_payload(b"[" * 100_000)


def test_a_message_about_a_long_path_is_of_bounded_length() -> None:
    with pytest.raises(EncodeError) as raised:
        encode_payload({"k" * 1_000_000: {"l" * 1_000_000: object()}})
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"{'a':1}",
        b"[1,]",
        b"1 2",
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        '"a"'.encode("utf-16"),
        b"1" * 5000,
        b"nul",
    ],
)
def test_what_is_not_json_in_utf_8_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^expected JSON") as raised:
        decode_payload(data)
    assert len(str(raised.value)) < 300

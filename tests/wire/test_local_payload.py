"""Payloads that stay in the process: never other than what the codec gives."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.local_payload import (
    ITEMS_MAX,
    decode_local,
    encode_local,
    json_of,
)
from sayiir_es.wire.payload import decode_payload, encode_payload
from tests.wire.values import JSON_VALUES, PATIENT


class Size(enum.IntEnum):
    """An int that is none exactly."""

    SMALL = 1


class Colour(enum.StrEnum):
    """A text that is none exactly."""

    RED = "red"


class Item(BaseModel):
    """A model."""

    name: str


class Text(str):
    """A text of one's own."""

    __slots__ = ()


@dataclass
class Opaque:
    """What JSON cannot carry."""

    value: int = 1


ODD: st.SearchStrategy[Any] = st.one_of(
    st.floats(),
    st.integers(-(10**700), 10**700),
    st.sampled_from([2**64, 2**64 - 1, -(2**64), -0.0]),
    st.text(st.characters(exclude_categories=())),
    st.sampled_from(["\ud800", 'a\x00\x7f\u2028"\\', Text("t"), Colour.RED]),
    st.sampled_from([Size.SMALL, Item(name="x"), Opaque(), b"bytes", {1, 2}, math.pi]),
    st.just(()),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    JSON_VALUES | ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=ITEMS_MAX + 2),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.text() | st.integers() | st.none() | st.sampled_from(["\ud800", (1,)]),
            inner,
            max_size=ITEMS_MAX + 2,
        ),
        st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=12,
)


def by_codec(value: object) -> object:
    return decode_payload(encode_payload(value))


def locally(value: object) -> object:
    return decode_local(encode_local(value))


def outcome(way: Any, value: object) -> object:
    """What comes of a value, with the type of all that is in it, or its refusal."""
    try:
        return exactly(way(value))
    except (EncodeError, DecodeError) as error:
        return type(error), str(error)


def exactly(value: Any) -> object:
    if isinstance(value, dict):
        return dict, [(exactly(key), exactly(item)) for key, item in value.items()]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return list, [exactly(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return type(value).__name__, repr(value)


@given(VALUES)
@settings(PATIENT, max_examples=500)
def test_any_value_is_changed_and_refused_as_by_the_codec(value: Any) -> None:
    assert outcome(locally, value) == outcome(by_codec, value)


@given(VALUES)
@settings(PATIENT)
def test_its_json_is_that_of_the_codec(value: Any) -> None:
    def as_json(payload: Any) -> object:
        return json_of(encode_local(payload))

    def codec_json(payload: Any) -> object:
        return encode_payload(payload)

    assert outcome(as_json, value) == outcome(codec_json, value)


@pytest.mark.parametrize("value", [[1, "x"], {"a": 1}, [[1], {"b": []}], {"a": [1]}])
def test_nobody_keeps_a_reference_into_a_payload(value: Any) -> None:
    before = exactly(value)
    data = encode_local(value)
    empty(value)
    first = decode_local(data)
    assert exactly(first) == before, "whoever made the value has changed it since"
    empty(first)
    assert exactly(decode_local(data)) == before, "so has one who was given it"


def empty(value: Any) -> None:
    for item in value.values() if isinstance(value, dict) else value:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(item, list | dict):
            empty(item)
    value.clear()


def test_a_list_that_holds_itself_is_refused_by_name() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    with pytest.raises(EncodeError, match="a list that holds itself"):
        encode_local(ring)


def test_an_int_of_too_many_digits_is_refused() -> None:
    values: list[object] = [10**5_000, [10**5_000], {"a": -(10**5_000)}]
    for value in values:
        assert outcome(locally, value) == outcome(by_codec, value)
        with pytest.raises(EncodeError, match="too many digits"):
            encode_local(value)

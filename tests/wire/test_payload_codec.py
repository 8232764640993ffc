"""What stands in the log for values: JSON, or a wrapper around what a codec wrote."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given, settings

from sayiir_es import JsonCodec, PayloadCodec
from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.payload_codec import JSON_PAYLOADS, Payloads
from tests.wire.sample_codecs import Compressing, Encrypting, Pickling, Spaced
from tests.wire.values import JSON_VALUES, PATIENT

CODECS: list[PayloadCodec] = [
    JsonCodec(),
    Spaced(),
    Encrypting(),
    Compressing(),
    Encrypting(Compressing()),
    Pickling(),
]
CODEC_NAMES = ["json", "spaced", "encrypting", "compressing", "both", "pickling"]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=CODEC_NAMES)


@each_codec
@given(value=JSON_VALUES)
@settings(PATIENT, max_examples=20)
def test_a_value_comes_back_by_every_codec_also_from_inside(
    codec: PayloadCodec, value: Any
) -> None:
    payloads = Payloads(codec)
    data = payloads.encode(value)
    assert payloads.decode(data) == value
    json.loads(data)
    joined = b'{"a":' + data + b',"b":[{"branch":"k","result":' + data + b"}],\n"
    joined += b'"plain":1}'
    expected = {"a": value, "b": [{"branch": "k", "result": value}], "plain": 1}
    assert payloads.decode(joined) == expected


@each_codec
def test_a_hint_reaches_what_stands_inside(codec: PayloadCodec) -> None:
    payloads = Payloads(codec)
    data = payloads.encode(date.min)
    assert payloads.decode(data, date) == date.min
    assert payloads.decode(b'{"a":' + data + b"}", dict[str, date]) == {"a": date.min}


@each_codec
def test_json_that_is_not_wrapped_is_read_under_every_codec(
    codec: PayloadCodec,
) -> None:
    assert Payloads(codec).decode(b'{"a": "2026-01-02"}', dict[str, date]) == {
        "a": date(2026, 1, 2)
    }
    assert Payloads(codec).encode_readable("key") == b'"key"'


def test_the_form_of_the_wrapper() -> None:
    data = Payloads(Compressing()).encode("x" * 100)
    assert json.loads(data).keys() == {"$content_type", "$data"}
    content_type = json.loads(data)["$content_type"]
    assert content_type == "application/vnd.example.deflate"
    assert len(data) < 100


def test_of_several_codecs_the_first_writes_and_each_reads() -> None:
    old, new = Payloads(Compressing()), Payloads([Encrypting(), Compressing()])
    data = new.encode(1)
    assert b"encrypted" in data
    assert new.decode(old.encode(1)) == new.decode(data) == 1
    assert new.decode(b"[" + data + b"," + old.encode(2) + b",3]") == [1, 2, 3]


def test_what_no_codec_reads_is_told_by_its_content_type() -> None:
    data = Payloads(Encrypting()).encode(1)
    expected = (
        "expected a value of a content type that a codec of the backend reads "
        "(application/json), but 'application/vnd.example.encrypted'"
    )
    for text in (data, b"[" + data + b"]"):
        with pytest.raises(DecodeError) as raised:
            JSON_PAYLOADS.decode(text)
        assert str(raised.value) == expected
    with pytest.raises(InvalidToken):
        Payloads(Encrypting(key=Fernet.generate_key())).decode(data)
    wrong = b'{"$content_type":"application/vnd.example.deflate","$data":"?"}'
    with pytest.raises(DecodeError, match=r"expected base64 in \$data"):
        Payloads(Compressing()).decode(wrong)


@pytest.mark.parametrize(
    "value",
    [
        {"$content_type": "a", "$data": 1},
        {"$content_type": "a"},
        {"$data": "a"},
        {"$content_type": "a", "$data": "b", "c": 1},
        ["$content_type", "$data"],
        {"$content_type": ["a"], "$data": "b"},
    ],
)
def test_what_only_looks_like_a_wrapper_is_a_value(value: object) -> None:
    for payloads in (JSON_PAYLOADS, Payloads(Compressing())):
        assert payloads.decode(payloads.encode(value)) == value
        assert payloads.decode(json.dumps(value).encode()) == value


def test_a_wrapper_made_by_hand_is_refused() -> None:
    wrapper = {"$content_type": "a", "$data": "b"}
    with pytest.raises(EncodeError, match="which stand for what a codec wrote"):
        JSON_PAYLOADS.encode({"deep": [wrapper]})
    sealed = Payloads(Compressing())
    assert sealed.decode(sealed.encode(wrapper)) == wrapper, "its bytes are a codec's"


class Broken(PayloadCodec):
    """Gives what it was made with."""

    content_type = "application/json"

    def __init__(self, result: Any) -> None:
        self._result = result

    def encode(self, value: object) -> bytes:
        """Whatever."""
        del value
        result: bytes = self._result
        return result

    def decode(self, data: bytes, hint: Any = Any) -> object:
        """Never called."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("text", "expected bytes of Broken, but a str"),
        (b"{", "expected JSON, but "),
        (b'{"a":1,"a":2}', "expected each key once"),
    ],
)
def test_what_is_no_json_never_reaches_the_log(result: object, message: str) -> None:
    with pytest.raises(EncodeError) as raised:
        Payloads(Broken(result)).encode(1)
    assert str(raised.value).startswith(message)


class Nameless(Spaced):
    """Has no content type."""

    content_type = ""


@pytest.mark.parametrize(
    ("codec", "error", "message"),
    [
        (JsonCodec, TypeError, "expected a PayloadCodec as codec, but <class"),
        ("json", TypeError, "expected a PayloadCodec as codec, but 'json'"),
        (Nameless(), TypeError, "expected a content_type of Nameless, but ''"),
        ([], ValueError, "expected codecs of different content types, but []"),
        ([Spaced(), JsonCodec()], ValueError, "expected codecs of different"),
    ],
)
def test_what_is_no_codec(codec: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        Payloads(codec)
    assert str(raised.value).startswith(message)

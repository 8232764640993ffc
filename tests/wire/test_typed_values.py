"""What comes back as what: each row of the guide's table, as properties."""

from __future__ import annotations

import datetime as dt
import json
import threading
import zoneinfo
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from types import GenericAlias
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
)

from sayiir_es import JsonCodec, register_type
from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.wire.local_payload import decode_local, encode_local
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from sayiir_es.wire.type_adapters import forget_adapters
from tests.wire.typed_values import TYPED, UNTYPED, Colour, Level, Line, Money, Order
from tests.wire.values import PATIENT

if TYPE_CHECKING:
    from collections.abc import Sequence as OnlyForCheckers

CODEC = JsonCodec()


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, and of one type."""
    return type(left) is type(right) and bool(left == right)


@pytest.mark.parametrize("row", TYPED)
@given(data=st.data())
@settings(PATIENT, max_examples=30)
def test_a_value_comes_back_as_its_annotation_says(
    row: str, data: st.DataObject
) -> None:
    hint, values = TYPED[row]
    value, in_list = data.draw(values), GenericAlias(list, (hint,))
    encoded = CODEC.encode(value)
    assert same(CODEC.decode(encoded, hint), value)
    assert same(decode_local(encode_local(value), hint), value)
    both = CODEC.decode(CODEC.encode([value, value]), in_list)
    assert same(both, [value, value])


@pytest.mark.parametrize("row", TYPED)
@given(data=st.data())
@settings(PATIENT, max_examples=10)
def test_without_one_it_is_its_json(row: str, data: st.DataObject) -> None:
    value = data.draw(TYPED[row][1])
    plain = CODEC.decode(CODEC.encode(value))
    assert CODEC.encode(plain) == CODEC.encode(value)
    assert json.loads(CODEC.encode(value)) == plain


@given(UNTYPED)
@settings(PATIENT)
def test_what_json_has_comes_back_as_it_was_with_every_plain_hint(value: Any) -> None:
    for hint in (Any, object, list[Any], dict[str, Any] | None, int, str | float):
        assert CODEC.decode(CODEC.encode(value), hint) == value


def test_a_number_of_json_is_exact_where_a_decimal_is_asked_for() -> None:
    for text in ("9999999999999999.01", "0.1e-400", "-0", "1E+400", "0.10"):
        read = CODEC.decode(text.encode(), Decimal)
        assert str(read) == str(Decimal(text)) or read == Decimal(text)
    data = b'{"a":9999999999999999.01,"b":"1.5e5 \\" 9999999999999999.01"}'
    read = CODEC.decode(data, dict[str, Decimal | str])
    assert read == {
        "a": Decimal("9999999999999999.01"),
        "b": '1.5e5 " 9999999999999999.01',
    }


def test_integers_beyond_what_others_read_are_exact() -> None:
    for number in (2**53 + 1, 2**64, -(2**80), 10**4000):
        assert CODEC.decode(CODEC.encode(number)) == number
        assert CODEC.decode(CODEC.encode({"n": number}), dict[str, int]) == {
            "n": number
        }


def test_a_zone_becomes_its_offset() -> None:
    value = dt.datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    read = CODEC.decode(CODEC.encode(value), dt.datetime)
    assert read == value
    assert CODEC.encode(value) == b'"2026-07-01T12:00:00+02:00"'


@dataclass
class Half:
    """A field of it has a type that only type checkers know."""

    when: dt.date
    what: OnlyForCheckers[int]


# --- what is refused ------------------------------------------------------------------


class Login(BaseModel):
    """A model with a secret."""

    name: str
    password: SecretStr
    more: list[SecretStr] = []


class SpokenLogin(Login):
    """One that says how the secret is written."""

    @field_serializer("password")
    def write(self, password: SecretStr) -> str:
        """The secret itself."""
        return password.get_secret_value()


class Picture(BaseModel):
    """A model with bytes, which pydantic writes as text."""

    raw: bytes


class ReadablePicture(Picture):
    """One whose bytes are base64 both ways."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MASKED = (
    "a SecretStr, which pydantic writes as a mask (a field_serializer of the model "
    "says what is written instead)"
)
TOO_DEEP = "one that is nested too deeply (more than 200 levels)"
SECONDS = dt.timezone(dt.timedelta(seconds=1))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: "a", "1": "b"}, "keys that are the same as text, 1 and '1', at $"),
        (
            {"orders": [0, 1, 2, {1: 2, "1": 3}]},
            "keys that are the same as text, 1 and '1', at $.orders[3]",
        ),
        ({True: 1, "true": 2}, "keys that are the same as text, True and 'true', at $"),
        ([Decimal("NaN")], "Decimal('NaN') at $[0]"),
        (
            {dt.date.min: {(1,): 2}},
            "a key that is a tuple (not JSON serializable) at $.0001-01-01",
        ),
        (
            [dt.time(1, tzinfo=BERLIN)],
            "a time whose zone has no offset without a date at $[0]",
        ),
        (
            dt.datetime(2026, 1, 1, tzinfo=SECONDS),
            "a datetime with an offset that has seconds at $",
        ),
        ({"a": np.array([1])}, "a ndarray (not JSON serializable) at $.a"),
        ([np.datetime64("2026-01-01")], "a numpy.datetime64 at $[0]"),
        ([np.longdouble(1)], "a numpy.longdouble at $[0]"),
        (np.float64("nan"), "nan at $"),
        ([np.complex128(1)], "a numpy.complex128 at $[0]"),
        (Login(name="a", password=SecretStr("b")), f"{MASKED} at $.password"),
        (
            {"l": [Login(name="a", password=SecretStr(""), more=[SecretStr("c")])]},
            f"{MASKED} at $.l[0].more[0]",
        ),
        (SecretStr("c"), f"{MASKED} at $"),
        (deep(201), f"{TOO_DEEP} at {('$' + '[0]' * 200)[:200]}"),
        ({"a": {1, object}}, "a type (not JSON serializable) at $.a[1]"),
        ([{"$content_type": "a", "$data": ""}], None),
    ],
)
def test_what_would_change_or_has_no_form_is_refused(
    value: object, message: str | None
) -> None:
    with pytest.raises(EncodeError) as raised:
        JSON_PAYLOADS.encode(value)
    if message is None:
        message = (
            "a dict of the keys $content_type and $data, which stand for what a codec "
            "wrote"
        )
        assert str(raised.value) == f"expected a value of one's own, but {message}"
    else:
        assert str(raised.value) == f"expected a JSON value, but {message}"


def test_what_is_just_not_too_deep_goes_both_ways() -> None:
    assert CODEC.decode(CODEC.encode(deep(200))) == deep(200)
    assert CODEC.decode(CODEC.encode(deep(200)), Any | tuple[int]) == deep(200)


def test_a_secret_that_the_model_writes_comes_back() -> None:
    login = SpokenLogin(name="a", password=SecretStr("b"))
    assert CODEC.encode(login) == b'{"name":"a","password":"b","more":[]}'
    assert CODEC.decode(CODEC.encode(login), SpokenLogin) == login
    stars = {"text": "**********", "login": login}
    assert CODEC.decode(CODEC.encode(stars)) == {
        "text": "**********",
        "login": {"name": "a", "password": "b", "more": []},
    }


class Album(BaseModel):
    """Models with bytes, in a model; and a dataclass with some."""

    model_config = ConfigDict(strict=True)

    pictures: dict[str, list[Picture] | None]
    line: Line | None = None
    raw: bytes | None = None


@given(raw=st.binary() | st.just(b"data:;base64,AA=="))
@settings(PATIENT)
def test_bytes_of_a_model_come_back(raw: bytes) -> None:
    picture = Picture(raw=raw)
    assert CODEC.decode(CODEC.encode(picture), Picture) == picture
    line = Line(at=dt.datetime(2026, 1, 1), price=Decimal(1), raw=raw)  # noqa: DTZ001
    album = Album(pictures={"a": [picture], "b": None}, line=line, raw=raw)
    assert CODEC.decode(CODEC.encode([album]), list[Album]) == [album]


def test_bytes_of_a_model_are_text_where_they_are_text() -> None:
    assert CODEC.encode(Picture(raw="ä".encode())) == '{"raw":"ä"}'.encode()
    assert CODEC.encode(Picture(raw=b"\xff")) == b'{"raw":"data:;base64,/w=="}'
    picture = ReadablePicture(raw=b"\xff\xfe")
    assert CODEC.decode(CODEC.encode(picture), ReadablePicture) == picture


class Counts(BaseModel):
    """Of keys of two types."""

    counts: list[dict[int | str, int]]


def test_keys_of_a_model_that_are_one_text_are_refused() -> None:
    counts = Counts(counts=[{1: 1, "2": 2}])
    assert CODEC.encode(counts) == b'{"counts":[{"1":1,"2":2}]}'
    merged = Counts(counts=[{}, {1: 1, "1": 2}])
    with pytest.raises(EncodeError, match=r"same as text, at \$\.a\.counts\[1\]$"):
        CODEC.encode({"a": merged})


def test_a_model_that_holds_itself_is_refused_in_words() -> None:
    class Knot(BaseModel):
        """Holds itself."""

        next: Any = None

    knot = Knot()
    knot.next = knot
    with pytest.raises(
        EncodeError, match=r"a Knot that is nested too deeply, or holds"
    ):
        CODEC.encode(knot)


def test_computed_fields_are_written_where_the_model_takes_them() -> None:
    assert b"label" not in CODEC.encode(Order(itemName="a", due=dt.date.min))

    class Loose(BaseModel):
        """Ignores what it does not know."""

        inner: list[Order]

    class Plain(Order):
        """Takes more."""

        model_config = ConfigDict(extra="ignore")

    assert b"label" in CODEC.encode(Plain(itemName="a", due=dt.date.min))
    loose = Loose(inner=[Order(itemName="a", due=dt.date.min)])
    assert CODEC.decode(CODEC.encode(loose), Loose) == loose


def test_a_model_is_read_by_names_and_by_aliases() -> None:
    order = Order(itemName="a", due=dt.date.min)
    for name in ("item", "itemName"):
        data = encode_payload({name: "a", "due": "0001-01-01"})
        assert CODEC.decode(data, Order) == order


class Renamed(BaseModel):
    """Of which one name is written and another one read."""

    model_config = ConfigDict(serialize_by_alias=True)

    both: int = Field(alias="zed")
    written: int = Field(serialization_alias="why")
    read: int = Field(validation_alias=AliasChoices("ex", AliasPath("deep", "x")))


class Camel(BaseModel):
    """Written by its aliases."""

    model_config = ConfigDict(serialize_by_alias=True)

    sent_at: dt.date = Field(alias="sentAt")


def test_aliases_of_every_kind_come_back() -> None:
    renamed = Renamed.model_validate({"zed": 1, "written": 2, "ex": 3})
    assert CODEC.decode(CODEC.encode([renamed]), list[Renamed]) == [renamed]
    camel = Camel(sentAt=dt.date.min)
    assert CODEC.encode(camel) == b'{"sentAt":"0001-01-01"}'
    assert CODEC.decode(CODEC.encode(camel), Camel) == camel


def test_numpys_scalars_are_pythons() -> None:
    value = {
        "a": [np.int64(3), np.float32(0.5), np.bool_(1), np.float64(1.5)],
        np.int8(7): np.str_("x"),
        "u": np.uint64(2**64 - 1),
    }
    assert decode_payload(encode_payload(value)) == {
        "a": [3, 0.5, True, 1.5],
        "7": "x",
        "u": 2**64 - 1,
    }


def test_members_of_enums_that_are_texts_or_numbers_are_their_values() -> None:
    assert CODEC.decode(CODEC.encode({Colour.RED: Level.HIGH})) == {"red": 2}
    with pytest.raises(ValueError, match="Colour"):
        CODEC.decode(b'{"green":1}', dict[Colour, int])


def test_a_value_that_does_not_fit_is_named_by_its_place() -> None:
    for data in (b'{"at":"x","price":"1"}', b'{"price":"1"}', b"[]", b"1"):
        with pytest.raises(ValueError, match=r"at|Line|mapping|arguments"):
            CODEC.decode(data, Line)
    with pytest.raises(ValueError, match="base64"):
        CODEC.decode(b"1", bytes)
    with pytest.raises(DecodeError, match="expected JSON, but"):
        CODEC.decode(b"{", Line)


def test_one_field_that_cannot_be_read_leaves_the_others_their_types() -> None:
    value = Half(dt.date.min, [1])
    assert CODEC.decode(CODEC.encode(value), Half) == value


# --- registered types -----------------------------------------------------------------


class Base:
    """A class that is registered later."""

    def __init__(self, name: str) -> None:
        self.name = name


class Below(Base):
    """One below it."""


@dataclass
class Holder:
    """Has one in a field."""

    money: Money
    more: dict[str, Money] = field(default_factory=dict[str, Money])


def test_a_registered_type_counts_for_classes_below_it_and_can_be_replaced() -> None:
    with pytest.raises(EncodeError, match="a Below"):
        CODEC.encode(Below("a"))
    assert CODEC.decode(b'"a"', Base) == "a", "nothing says how it is read"
    register_type(Base, lambda base: base.name, Base)
    assert CODEC.encode([Below("a")]) == b'["a"]'
    read = CODEC.decode(b'"a"', Base)
    assert isinstance(read, Base)
    register_type(Base, lambda base: [base.name], lambda data: Base(data[0]))
    assert CODEC.encode(Base("a")) == b'["a"]'
    read = CODEC.decode(b'["b"]', Base)
    assert isinstance(read, Base)
    assert read.name == "b"


def test_a_registered_type_is_found_in_the_fields_of_others() -> None:
    holder = Holder(Money(1), {"a": Money(2)})
    assert CODEC.decode(CODEC.encode(holder), Holder) == holder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", str, str), "expected a class that JSON lacks, but 'x'"),
        ((dict, str, str), "expected a class that JSON lacks, but <class 'dict'>"),
        ((Money, 1, Money), "expected a function as to_json, but 1"),
        ((Money, str, None), "expected a function as from_json, but None"),
    ],
)
def test_what_cannot_be_registered(arguments: Any, message: str) -> None:
    with pytest.raises(TypeError) as raised:
        register_type(*arguments)
    assert str(raised.value) == message


def test_adapters_are_made_in_several_threads_at_once() -> None:
    value = Line(at=dt.datetime(2026, 1, 1), price=Decimal(1))  # noqa: DTZ001
    value.inner = [Line(at=value.at, price=Decimal(2))]
    data = CODEC.encode({"a": [value]})
    barrier = threading.Barrier(8)

    def read(_: int) -> object:
        barrier.wait(10)
        forget_adapters()
        return CODEC.decode(data, dict[str, list[Line]])

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            assert list(threads.map(read, range(8))) == [{"a": [value]}] * 8

"""The guide's table of values: hints, with strategies of what they name.

`docs/guides/values.md` says what comes back as what; each of its rows is here.
"""

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field

from sayiir_es import register_type
from tests.wire.values import JSON_VALUES

T = TypeVar("T")


class Colour(enum.Enum):
    """Of texts."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """Of numbers."""

    LOW = 1
    HIGH = 2


class Corner(enum.Enum):
    """Of values that JSON has in another form."""

    NEAR = (0, 0)
    FAR = (1, 1)


class Right(enum.Flag):
    """Of which several may be set."""

    READ = 1
    WRITE = 2


@dataclass
class Line:
    """A dataclass with all that JSON lacks, and one in itself."""

    at: dt.datetime
    price: Decimal
    raw: bytes = b""
    inner: list[Line] = field(default_factory=list["Line"])
    total: int = field(init=False, default=3)


@dataclass(frozen=True, kw_only=True)
class Box(Generic[T]):
    """A generic one."""

    value: T


@attrs.define
class Parcel:
    """A class of attrs, with a private name."""

    _weight: Decimal
    sent: dt.date | None = None


class Route(msgspec.Struct):
    """A structure of msgspec."""

    stops: tuple[str, ...]
    days: dt.timedelta = dt.timedelta(0)


class Tagged(msgspec.Struct, tag="tagged", rename="camel"):
    """One with names of its own."""

    sent_at: dt.date
    raw: bytes = b""


class Row(TypedDict):
    """A dict of known keys."""

    when: dt.date
    raw: NotRequired[bytes]


class Point(NamedTuple):
    """A tuple with names."""

    x: Decimal
    y: bytes = b"y"


class Order(BaseModel):
    """A strict model that takes nothing more, with an alias and a computed field."""

    model_config = ConfigDict(strict=True, extra="forbid")

    item: str = Field(alias="itemName")
    due: dt.date
    sizes: tuple[int, ...] = ()
    key: uuid.UUID | None = None

    @computed_field
    def label(self) -> str:
        """What a strict model would refuse."""
        return self.item.upper()


class Money:
    """A class of one's own, registered below."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)

    def __repr__(self) -> str:
        return f"Money({self.cents})"


register_type(
    Money, lambda money: {"cents": money.cents}, lambda data: Money(data["cents"])
)

OFFSETS = st.integers(-1439, 1439).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
DATETIMES = st.datetimes() | st.datetimes(timezones=OFFSETS)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TUPLES = st.tuples(st.integers(), st.dates())
LINES = st.recursive(
    st.builds(Line, at=DATETIMES, price=DECIMALS, raw=st.binary()),
    lambda inner: st.builds(
        Line, at=DATETIMES, price=DECIMALS, inner=st.lists(inner, max_size=2)
    ),
    max_leaves=3,
)
PARCELS = st.builds(Parcel, weight=DECIMALS, sent=st.none() | st.dates())
ROUTES = st.builds(Route, stops=st.lists(TEXTS).map(tuple), days=st.timedeltas())
ROWS: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"when": st.dates()}, optional={"raw": st.binary()}
)
ORDERS = st.builds(
    Order,
    itemName=TEXTS,
    due=st.dates(),
    sizes=st.lists(st.integers()).map(tuple),
    key=st.none() | st.uuids(),
)
PATHS = st.lists(st.text("abc.", min_size=1), min_size=1).map(
    lambda parts: pathlib.Path(*parts)
)

TYPED: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "datetime": (dt.datetime, DATETIMES),
    "date": (dt.date, st.dates()),
    "time": (dt.time, st.times() | st.times(timezones=OFFSETS)),
    "timedelta": (dt.timedelta, st.timedeltas()),
    "Decimal": (Decimal, DECIMALS),
    "UUID": (uuid.UUID, st.uuids()),
    "bytes": (bytes, st.binary()),
    "bytearray": (bytearray, st.binary().map(bytearray)),
    "Path": (pathlib.Path, PATHS),
    "Enum": (Colour, st.sampled_from(Colour)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "Enum of tuples": (Corner, st.sampled_from(Corner)),
    "Flag": (Right, st.sampled_from([Right.READ, Right.READ | Right.WRITE, Right(0)])),
    "tuple": (tuple[int, dt.date], TUPLES),
    "tuple of any length": (tuple[bytes, ...], st.lists(st.binary()).map(tuple)),
    "bare tuple": (tuple, st.lists(st.integers()).map(tuple)),
    "set": (set[dt.date], st.sets(st.dates())),
    "frozenset": (frozenset[uuid.UUID], st.frozensets(st.uuids())),
    "deque": (deque[int], st.lists(st.integers()).map(deque)),
    "dict of numbers": (dict[int, str], st.dictionaries(st.integers(), TEXTS)),
    "dict of dates": (
        dict[dt.date, Decimal],
        st.dictionaries(st.dates(), DECIMALS),
    ),
    "dict of members": (
        dict[Level, bytes],
        st.dictionaries(st.sampled_from(Level), st.binary()),
    ),
    "dict of flags": (dict[bool, int], st.dictionaries(st.booleans(), st.integers())),
    "mapping": (Mapping[str, dt.time], st.dictionaries(TEXTS, st.times())),
    "sequence": (Sequence[dt.date], st.lists(st.dates())),
    "optional": (dt.date | None, st.none() | st.dates()),
    "annotated": (Annotated[dt.date, Field(description="when")], st.dates()),
    "dataclass": (Line, LINES),
    "generic dataclass": (
        Box[tuple[bytes, ...]],
        st.lists(st.binary()).map(lambda items: Box(value=tuple(items))),
    ),
    "attrs": (Parcel, PARCELS),
    "msgspec": (Route, ROUTES),
    "tagged msgspec": (Tagged, st.builds(Tagged, sent_at=st.dates(), raw=st.binary())),
    "TypedDict": (Row, ROWS),
    "NamedTuple": (Point, st.builds(Point, x=DECIMALS, y=st.binary())),
    "model": (Order, ORDERS),
    "models": (
        dict[str, list[Order] | None],
        st.dictionaries(TEXTS, st.none() | st.lists(ORDERS, max_size=2), max_size=2),
    ),
    "registered": (Money, st.builds(Money, st.integers())),
    "registered inside": (list[Money], st.lists(st.builds(Money, st.integers()))),
}
"""By the name of the row: what a parameter is annotated with, and its values."""

UNTYPED = JSON_VALUES
"""What comes back as it was without any annotation."""

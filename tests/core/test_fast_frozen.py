"""Values that are made quickly are frozen dataclasses all the same."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from sayiir_es.core.fast_frozen import fast_frozen, maker, with_maker


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value as others are."""

    x: int
    y: int = 2


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A value with a field whose default is made anew."""

    names: list[str] = field(default_factory=list[str])
    size: int = 0


@with_maker
@dataclass(slots=True, kw_only=True)
class Tally:
    """One that may be changed."""

    name: str
    size: int = 1
    names: list[str] = field(default_factory=list[str])
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        self.doubled = 2 * self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The same without the decorator."""

    x: int
    y: int = 2


def test_a_quickly_made_value_cannot_be_changed() -> None:
    point = Point(x=1)
    for name in ("x", "z"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(point, name, 3)
        with pytest.raises((FrozenInstanceError, TypeError)):
            delattr(point, name)
    assert point.x == 1


def test_a_quickly_made_value_is_compared_hashed_shown_and_replaced_as_any() -> None:
    point, slow = Point(x=1), Slow(x=1)
    assert type(point) is Point
    assert point == Point(x=1, y=2) != Point(x=1, y=3)
    assert {point, slow} == {slow, point}
    assert len({point, slow}) == 2
    assert hash(point) == hash(slow)
    assert repr(point) == "Point(x=1, y=2)"
    assert replace(point, y=5) == Point(x=1, y=5)
    assert [field.name for field in fields(point)] == ["x", "y"]
    assert copy.copy(point) is copy.deepcopy(point) is point
    match point:
        case Point(x=one, y=two):
            assert (one, two) == (1, 2)


def test_a_maker_makes_what_its_class_makes() -> None:
    point, listing = maker(Point), maker(Listing)
    assert point(x=1) == Point(x=1)
    assert type(point(x=1, y=3)) is Point
    assert listing(size=2) == Listing(size=2)
    wrong = {"y": 1}
    with pytest.raises(TypeError, match="make"):
        point(**wrong)


def test_a_default_that_is_made_is_made_for_each_value() -> None:
    first, second, given = Listing(), Listing(), Listing(names=["a"])
    assert first == second
    assert first.names is not second.names
    assert given.names == ["a"]
    assert replace(given, size=1) == Listing(names=["a"], size=1)


def test_a_quickly_made_value_takes_what_its_fields_say_and_nothing_else() -> None:
    for wrong in ({}, {"y": 1}, {"x": 1, "z": 2}):
        with pytest.raises(TypeError, match="__new__"):
            Point(**wrong)


def test_a_maker_makes_what_a_class_makes_that_may_be_changed() -> None:
    tally = maker(Tally)
    first, second = tally(name="a", size=4), tally(name="b", names=["c"])
    assert (first, second) == (Tally(name="a", size=4), Tally(name="b", names=["c"]))
    assert (type(first), first.doubled) == (Tally, 8)
    assert tally(name="a").names is not tally(name="a").names
    first.size = 5
    assert first.size == 5

"""Values as JSON data: what each type becomes, and what is refused.

Theory of operation. Most values are what JSON carries as it is: they are looked through
once and nothing is made of them. All others are copied as JSON data. What would come
back otherwise than it went, whatever its annotation says, is refused: two keys that are
one text, a time zone without an offset, a mask in place of a secret. The path of a
refused value is put together on the way up.

What comes back as what is in `docs/guides/values.md`; `type_adapters` is the way back.
"""

from __future__ import annotations

import base64
import math
import sys
from collections import Counter, deque
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import chain
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import UUID

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import EXCERPT_CHARACTERS_MAX
from sayiir_es.wire.json_problems import DEPTH_MAX, is_ring, locate_problem
from sayiir_es.wire.pydantic_models import (
    CLASSES_MAX,
    RefusedModelError,
    dump_model,
    is_model,
)
from sayiir_es.wire.registered_types import on_change, registered_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SCALARS: frozenset[type] = frozenset((str, int, float, bool, type(None)))
"""The types whose values hold no others, and that JSON has."""


_Dict: TypeAlias = dict[Any, object]
_DICT: frozenset[type] = frozenset((dict,))
_ARRAYS: frozenset[type] = frozenset((list, tuple))


class _RefusedValueError(Exception):
    """What is wrong with a value, and the way to it, from the inside out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.way: list[str] = []

    def at(self, step: str) -> _RefusedValueError:
        """The same, one step further out."""
        if len(self.way) < DEPTH_MAX:
            self.way.append(step[: EXCERPT_CHARACTERS_MAX + 2])
        return self


def is_plain(value: object) -> bool:
    """Whether JSON carries the value as it is, or with tuples for lists.

    Of a value that was written once as JSON: one that holds itself is never asked
    about. It is looked through level by level, with no call for each list and dict: a
    large value costs less than its JSON.
    """
    kind: type = type(value)
    if kind in SCALARS or (kind is dict and _is_flat(cast("_Dict", value))):
        return True
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        dicts = _of_type(level, _DICT)
        arrays = _of_type(level, _ARRAYS)
        if len(dicts) + len(arrays) != len(level):
            return False
        try:
            "".join(chain.from_iterable(dicts))  # each key is a text
        except TypeError:
            return False
        items = chain(*arrays, *map(_values, dicts))
        level = [item for item in items if type(item) not in SCALARS]
        if not level:
            return True
    return False


def _of_type(values: list[Any], kinds: frozenset[type]) -> list[Any]:
    return [value for value in values if type(value) in kinds]


_values: Any = getattr(dict, "values")  # noqa: B009 (of any dict, for type checkers)


def _is_flat(value: _Dict) -> bool:
    """Whether a dict is of texts and scalars: most are, and this is quicker."""
    try:
        "".join(value)
    except TypeError:
        return False
    return SCALARS.issuperset(map(type, value.values()))


def to_plain(value: object) -> object:
    """The value as JSON data, copied.

    Whether each text and number can be written is not looked at.

    Raises:
        EncodeError: if something in it has no form in JSON; names its type and path.
    """
    if type(value) in SCALARS:
        return value
    try:
        return _plain(value, 0)
    except _RefusedValueError as refused:
        if refused.problem == _TOO_DEEP and is_ring(value):
            raise EncodeError(
                f"expected a JSON value, but {locate_problem(value)}"
            ) from None
        path = "$" + "".join(reversed(refused.way))
        raise EncodeError(
            f"expected a JSON value, but {refused.problem} at "
            f"{path[:EXCERPT_CHARACTERS_MAX]}"
        ) from refused.__cause__


def _plain(value: object, depth: int) -> object:
    kind: type = type(value)
    if kind is dict:
        return _plain_dict(cast("dict[object, object]", value), depth)
    if kind is list:
        return _plain_items(cast("list[object]", value), depth)
    if kind in SCALARS:
        return value
    convert = _converter_of(kind)
    if convert is None:
        raise _RefusedValueError(f"a {kind.__name__} (not JSON serializable)")
    return convert(value, depth)


def _plain_items(items: Iterable[object], depth: int) -> list[object]:
    if depth == DEPTH_MAX:
        raise _too_deep()
    plain: list[object] = []
    for index, item in enumerate(items):
        try:
            plain.append(_plain(item, depth + 1))
        except _RefusedValueError as refused:
            raise refused.at(f"[{index}]")  # noqa: B904 (the same one)
    return plain


def _plain_dict(value: dict[object, object], depth: int) -> dict[str, object]:
    if depth == DEPTH_MAX:
        raise _too_deep()
    plain: dict[str, object] = {}
    for key, item in text_keys(value).items():
        try:
            plain[key] = _plain(item, depth + 1)
        except _RefusedValueError as refused:
            raise refused.at(f".{ascii(key)[1:-1]}")  # noqa: B904 (the same one)
    return plain


_TOO_DEEP = f"one that is nested too deeply (more than {DEPTH_MAX} levels)"


def _too_deep() -> _RefusedValueError:
    return _RefusedValueError(_TOO_DEEP)


# --- keys -----------------------------------------------------------------------------


def text_keys(value: dict[object, object]) -> dict[str, object]:
    """The pairs of a dict with what its keys are in JSON."""
    texts = [_key_text(key) for key in value]
    pairs = dict(zip(texts, value.values(), strict=True))
    if len(pairs) < len(texts):
        text, _ = Counter(texts).most_common(1)[0]
        keys = [key for key, own in zip(value, texts, strict=True) if own == text]
        listed = " and ".join(ascii(key)[:EXCERPT_CHARACTERS_MAX] for key in keys)
        raise _RefusedValueError(f"keys that are the same as text, {listed},")
    return pairs


def _key_text(key: object) -> str:
    """What a key is in JSON, whose keys are texts."""
    if isinstance(key, str):
        return str.__str__(key)
    try:
        plain = _plain(key, 0)
    except _RefusedValueError as refused:
        raise _RefusedValueError(
            f"a key that is {refused.problem}"
        ) from refused.__cause__
    match plain:
        case str():
            return plain
        case None:
            return "null"
        case bool():
            return "true" if plain else "false"
        case float():
            if not math.isfinite(plain):
                raise _RefusedValueError(f"a key that is {float.__repr__(plain)}")
            return float.__repr__(plain)
        case int():
            return _digits(plain)
        case _:
            raise _RefusedValueError(
                f"a key that is a {type(key).__name__} (not JSON serializable)"
            )


def _digits(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError as error:
        raise _RefusedValueError("a key that is an int of too many digits") from error


# --- what each type becomes -----------------------------------------------------------


@lru_cache(maxsize=CLASSES_MAX)
def _converter_of(kind: Any) -> Callable[[Any, int], object] | None:
    """What makes JSON data of values of a type; None if nothing does."""
    registered = registered_type(kind)
    if registered is not None:
        to_json = registered.to_json
        return lambda value, depth: _made_plain(to_json(value), depth)
    if issubclass(kind, Enum):
        return lambda value, depth: _plain(value.value, depth)
    if is_model(kind):
        return _of_model
    for base, convert in _BUILT_IN:
        if issubclass(kind, base):
            return convert
    names = _field_names(kind)
    if names is not None:
        return lambda value, depth: _plain_fields(value, names, depth)
    if hasattr(kind, "__struct_config__"):
        return _of_struct
    numpy: Any = sys.modules.get("numpy")
    is_scalar = numpy is not None and issubclass(kind, numpy.generic)
    return _of_numpy if is_scalar else None


def _field_names(kind: Any) -> tuple[str, ...] | None:
    """The fields of a structure that JSON has by their own names; None: it is none."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(one.name for one in kind.__attrs_attrs__)
    if hasattr(kind, "__struct_config__") and is_plain_struct(kind):
        return tuple(kind.__struct_fields__)
    return None


def _made_plain(value: object, depth: int) -> object:
    if depth == DEPTH_MAX:  # a function that returns its own argument
        raise _too_deep()
    return _plain(value, depth + 1)


def _plain_fields(value: object, names: tuple[str, ...], depth: int) -> object:
    # A field that was never set is one that reading fails at; so does this.
    return _plain_dict({name: getattr(value, name) for name in names}, depth)


def _of_model(value: object, depth: int) -> object:
    def fallback(unknown: object) -> object:
        return _plain(unknown, depth)

    try:
        return dump_model(value, fallback)
    except RefusedModelError as error:
        refused = _RefusedValueError(error.problem)
        raise refused.at(error.where) from error


def is_plain_struct(kind: Any) -> bool:
    """Whether JSON has a msgspec structure's own names for it, and nothing besides."""
    config = kind.__struct_config__
    return (
        kind.__struct_encode_fields__ == kind.__struct_fields__
        and config.tag is None
        and not config.array_like
    )


def _of_struct(value: object, depth: int) -> object:
    import msgspec  # noqa: PLC0415 (loaded: the value is of it)

    def enc_hook(unknown: object) -> object:
        return _plain(unknown, depth)

    return _plain(msgspec.to_builtins(value, str_keys=True, enc_hook=enc_hook), depth)


def _of_numpy(value: Any, _depth: int) -> object:
    """A scalar as Python's own; one that Python has no equal of is refused by name."""
    made: object = value.item()
    if type(made) not in SCALARS or value.dtype.kind not in "biufU":
        raise _RefusedValueError(f"a numpy.{type(value).__name__}")
    return made


def _of_datetime(value: datetime, _depth: int) -> str:
    return _with_offset(value, value.utcoffset())


def _of_time(value: time, _depth: int) -> str:
    offset = value.utcoffset()
    if value.tzinfo is not None and offset is None:
        raise _RefusedValueError("a time whose zone has no offset without a date")
    return _with_offset(value, offset)


def _with_offset(value: datetime | time, offset: timedelta | None) -> str:
    if offset is not None and offset % timedelta(minutes=1):
        raise _RefusedValueError(
            f"a {type(value).__name__} with an offset that has seconds"
        )
    return value.isoformat()


def _of_timedelta(value: timedelta, _depth: int) -> str:
    """ISO 8601, exact: days, and seconds with six decimals where there are any."""
    sign, value = ("-", -value) if value.days < 0 else ("", value)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    days = f"{value.days}D" if value.days else ""
    return f"{sign}P{days}T{value.seconds}{fraction}S"


def _of_decimal(value: Decimal, _depth: int) -> str:
    if not value.is_finite():
        raise _RefusedValueError(f"Decimal('{value}')")
    return str(value)


def _of_bytes(value: bytes | bytearray, _depth: int) -> str:
    return base64.b64encode(value).decode()


def _of_text(value: object, _depth: int) -> object:
    return str(value)


def _as_it_is(value: object, _depth: int) -> object:
    return value


def _of_dict(value: dict[object, object], depth: int) -> object:
    return _plain_dict(value, depth)


def _of_items(value: Iterable[object], depth: int) -> object:
    return _plain_items(value, depth)


_BUILT_IN: tuple[tuple[type | tuple[type, ...], Callable[[Any, int], object]], ...] = (
    ((str, int, float), _as_it_is),
    (dict, _of_dict),
    ((list, tuple, set, frozenset, deque), _of_items),
    (datetime, _of_datetime),
    (date, lambda value, _depth: value.isoformat()),
    (time, _of_time),
    (timedelta, _of_timedelta),
    (Decimal, _of_decimal),
    ((UUID, PurePath), _of_text),
    ((bytes, bytearray), _of_bytes),
)

on_change(_converter_of.cache_clear)

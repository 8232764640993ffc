"""How many bytes the record of an event takes in a batch, without encoding it.

Theory of operation. A decision must know what still fits while it is made, and nothing
of the core writes bytes. So the size is worked out from the values: that of Avro's
binary encoding, of the key and the headers that every event has, and of what Kafka's
record format puts around them. Tests hold it equal to what is written, and never below
what the logs count.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from sayiir_es.core.model.events import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sayiir_es.core.model.events import Event

SCHEMA_BYTES = 10
"""Avro's single-object header: a mark, and the fingerprint of the schema."""

_BESIDE_BYTES = 1 + 1 + 3 + 1
"""Of a record's attributes, its deltas, and the number of its headers; the delta of the
offset has its longest form, the time is that of its batch."""

_CLAIM_HEADER_BYTES = 2 + len("claim")
"""Of the header `claim`, with its two lengths and without its digits."""

_SEVEN_BITS, _FOURTEEN_BITS = 1 << 6, 1 << 13
"""Numbers below these take one byte, or two, as a signed varint."""

_SHORT = bytes(1 if number < _SEVEN_BITS else 2 for number in range(_FOURTEEN_BITS))
"""How many bytes each of these takes, so that nearly no length costs a call."""


def varint_bytes(number: int) -> int:
    """The bytes of an integer as a signed varint."""
    if 0 <= number < _FOURTEEN_BITS:
        return 1 if number < _SEVEN_BITS else 2
    if number < 0:
        number = -number - 1
    return (number.bit_length() + 7) // 7


def header_bytes(name: int, value: int) -> int:
    """The bytes of a record's header, by those of its name and of its value."""
    if name < _SEVEN_BITS and value < _SEVEN_BITS:
        return 2 + name + value
    return varint_bytes(name) + name + varint_bytes(value) + value


def record_bytes(key: int, value: int, headers: int) -> int:
    """The most bytes of a record in a batch, by those of its parts.

    `headers` is the sum of `header_bytes`, for 63 headers at most; their lengths and
    that of the whole record are added here.
    """
    size = (
        _BESIDE_BYTES
        + (_SHORT[key] if key < _FOURTEEN_BITS else varint_bytes(key))
        + key
        + (_SHORT[value] if value < _FOURTEEN_BITS else varint_bytes(value))
        + value
        + headers
    )
    return size + (_SHORT[size] if size < _FOURTEEN_BITS else varint_bytes(size))


def event_bytes(event: Event) -> int:
    """The most bytes of an event's record in a batch.

    Takes what no encoder writes too, such as text with a lone surrogate.
    """
    body, claim = event.body, event.claim
    get_values, value_bytes, kind_bytes = _BODIES[type(body)]
    key = _text_bytes(event.instance_id)
    value = (
        value_bytes
        + (1 if key < _SEVEN_BITS else varint_bytes(key))
        + key
        + _values_bytes((claim, event.run, event.sequence, event.at, event.cause))
        + _values_bytes(get_values(body))
    )
    return record_bytes(key, value, kind_bytes + _CLAIM_HEADER_BYTES + len(str(claim)))


def _values_bytes(values: Iterable[Any]) -> int:
    """The bytes of values in Avro; those of the hot path without a call for each."""
    size = 0
    for value in values:
        kind: Any = value.__class__
        if kind is str:
            length = len(value) if value.isascii() else _text_bytes(value)
        elif kind is int:
            size += 1 if 0 <= value < _SEVEN_BITS else varint_bytes(value)
            continue
        elif kind is bytes:
            length = len(value)
        else:
            size += _other_bytes(value)
            continue
        size += length + (1 if length < _SEVEN_BITS else varint_bytes(length))
    return size


def _other_bytes(value: Any) -> int:
    """The bytes of texts, a boolean, or a null, whose branch counts elsewhere."""
    if value is None:
        return 0
    if not value or value is True:
        return 1
    items = getattr(value, "items", None)
    texts = value if items is None else chain.from_iterable(items())
    return varint_bytes(len(value)) + _values_bytes(texts) + 1


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class _Kind(NamedTuple):
    """How to get a kind's own values, and what its records take beside any values.

    Each value that may be null takes a byte more, which says whether it is. The header
    `kind` has two lengths.
    """

    get_values: Callable[[Body], Iterable[Any]]
    value_bytes: int
    header_bytes: int


def _kind_of(kind: type[Body]) -> _Kind:
    names = [field.name for field in fields(kind)]
    nulls = sum("None" in str(field.type) for field in fields(kind))
    get: Any = attrgetter(*names)

    def get_one(body: Body) -> Iterable[Any]:
        return (get(body),)

    return _Kind(
        get if len(names) > 1 else get_one,
        SCHEMA_BYTES + nulls,
        2 + len("kind") + len(kind.__name__),
    )


_BODIES = {kind: _kind_of(kind) for kind in get_args(Body)}

"""Payloads that stay in one process: what the codec would give, without its work.

Theory of operation. Between tasks a value must be what JSON makes of it, and nobody may
keep a reference into it: a task that changes its input must not change the result of
another. Most values are text, numbers, or a small list or object of them, which JSON
gives back as they were: they are copied, and that is all. Every other value, and each
one that JSON could refuse, goes through the codec as bytes. No JSON value is `bytes`,
so the two are told apart by their type.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from sayiir_es.core.authoring.hints import PLAIN
from sayiir_es.wire.json_problems import is_unicode
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable

LocalPayload: TypeAlias = (
    bytes | str | float | bool | list[object] | dict[str, object] | None
)
"""UTF-8 JSON, or a value that is equal to what its JSON decodes to."""

ITEMS_MAX = 16
"""A list or object with more items goes through the codec, which is quicker then."""

_INT_END: Final = 1 << 64
"""Ints from here on go through the codec, which refuses those of too many digits."""


def encode_local(value: object) -> LocalPayload:
    """Encode a value, as the codec of JSON does.

    Raises:
        EncodeError: if JSON cannot carry it; names the wrong value's type and path.
    """
    if _is_scalar(value):
        return cast("LocalPayload", value)
    kind = type(value)
    if kind is dict and len(cast("dict[object, object]", value)) <= ITEMS_MAX:
        entries = cast("dict[str, object]", value).copy()
        if _are_keys(entries) and _are_scalars(entries.values()):
            return entries
    elif kind is list and len(cast("list[object]", value)) <= ITEMS_MAX:
        items = cast("list[object]", value).copy()
        if _are_scalars(items):
            return items
    return JSON_PAYLOADS.encode(value)


def decode_local(data: LocalPayload, hint: Any = PLAIN) -> object:
    """Decode a payload, as the type that a hint names.

    Nobody else has a reference to a list or object in the value.

    Raises:
        DecodeError: if it is nested too deeply to be read.
        pydantic.ValidationError: if it does not fit the hint.
    """
    if hint is not PLAIN:
        return JSON_PAYLOADS.decode(json_of(data), hint)
    kind = type(data)
    if kind is bytes:
        return JSON_PAYLOADS.decode(cast("bytes", data))
    if kind is dict or kind is list:
        return cast("list[object]", data).copy()
    return data


def json_of(data: LocalPayload) -> bytes:
    """The payload as UTF-8 JSON."""
    return data if isinstance(data, bytes) else JSON_PAYLOADS.encode(data)


def _is_scalar(value: object) -> bool:
    """Whether JSON is sure to give it back as it is, and it holds no others.

    Its type is looked at exactly: of an enum's member, say, JSON makes something else.
    """
    kind = type(value)
    if kind is str:
        text = cast("str", value)
        return text.isascii() or is_unicode(text)
    if kind is int:
        return -_INT_END < cast("int", value) < _INT_END
    if kind is float:
        return isfinite(cast("float", value))
    return value is None or kind is bool


def _are_scalars(items: Iterable[object]) -> bool:
    return all(map(_is_scalar, items))


def _are_keys(keys: Iterable[object]) -> bool:
    return all(type(key) is str and _is_scalar(key) for key in keys)

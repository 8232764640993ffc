"""JSON of users' values: inputs, results and signals.

A value becomes compact UTF-8 JSON and keeps the order of its keys. A value that JSON
cannot carry is refused when it is written; the error names its type and path. When a
value is read, nothing is guessed from its shape.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from itertools import accumulate
from math import isfinite
from typing import NoReturn, Self

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.json_problems import DEPTH_MAX, locate_problem
from sayiir_es.wire.plain_values import is_plain, to_plain


def encode_payload(value: object) -> bytes:
    """Encode a value as UTF-8 JSON; what each type becomes says `plain_values`.

    Raises:
        EncodeError: if JSON cannot carry it; names the wrong value's type and path.
    """
    try:
        data = _encode(value).encode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # what is wrong is told below, if it is wrong
    else:
        if is_plain(value):
            return data
    plain = to_plain(value)
    try:
        return _encode(plain).encode()
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodeError(
            f"expected a JSON value, but {locate_problem(plain)}"
        ) from error


class KeptNumber(float):
    """A number that a float changes, with the text of it."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Take the text of JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode_payload(data: bytes, *, once: bool = False, shown: bool = False) -> object:
    """Decode UTF-8 JSON; NaN and infinities are refused.

    With `once` a key that stands twice in an object is refused, too; else the last one
    counts, as everywhere. `shown` is for people, and keeps the text of numbers that are
    no float (`KeptNumber`).

    Raises:
        DecodeError: if it is anything else.
    """
    try:
        decode = _decode_shown if shown else _decode_once if once else _decode
        value: object = decode(data.decode())
    except UnicodeDecodeError as error:
        excerpt = excerpt_of(error.object[error.start : error.start + 8])
        raise UnreadableError(
            f"expected JSON in UTF-8, but bytes {excerpt} at {error.start}",
            reason="bad_text",
        ) from error
    except json.JSONDecodeError as error:
        excerpt = excerpt_of(error.doc[error.pos : error.pos + 20])
        raise UnreadableError(
            f"expected JSON, but {excerpt} at character {error.pos}", reason="bad_json"
        ) from error
    except RecursionError as error:
        raise UnreadableError(
            "expected JSON, but it is nested too deeply", reason="too_deep"
        ) from error
    except ValueError as error:  # a number of more digits than Python converts
        raise UnreadableError(
            "expected JSON, but a number that is too long", reason="bad_json"
        ) from error
    return value


def read_members(data: bytes) -> tuple[dict[str, object], dict[str, bytes]]:
    """The members of a JSON object that was read once: their values, and their text.

    Raises:
        UnreadableError: if it is no object.
    """
    text = data.decode()
    place = _after_spaces(text, 0)
    if text[place] != "{":
        raise UnreadableError(
            f"expected a JSON object, but {excerpt_of(_decode(text))}",
            reason="bad_json",
        )
    values: dict[str, object] = {}
    texts: dict[str, bytes] = {}
    place = _after_spaces(text, place + 1)
    while text[place] != "}":
        name, place = _read_at(text, place)
        begin = _after_spaces(text, _after_spaces(text, place) + 1)
        values[name], place = _read_at(text, begin)
        texts[name] = text[begin:place].encode()
        place = _after_spaces(text, place)
        if text[place] == ",":
            place = _after_spaces(text, place + 1)
    return values, texts


def _after_spaces(text: str, place: int) -> int:
    match = _SPACES.match(text, place)
    return place if match is None else match.end()


def check_payload(data: bytes, *, once: bool = False) -> None:
    """Refuse bytes that are no payload; those that are, are kept as they are.

    With `once` a key that stands twice in an object is refused, too.

    Raises:
        UnreadableError: if it is no JSON in UTF-8, nested deeper than `DEPTH_MAX`, or
            holds what JSON in UTF-8 cannot carry, such as a lone surrogate.
    """
    value = decode_payload(data, once=once)
    check_depth(data)
    check_value(value)


def check_value(value: object) -> None:
    """Refuse a value of JSON that was read, but that nobody else could read.

    Raises:
        UnreadableError: if it holds a lone surrogate, or a number beyond all floats.
    """
    try:
        encode_payload(value)
    except EncodeError as error:
        raise UnreadableError(str(error), reason="bad_payload") from error


def check_depth(data: bytes, *, around: int = 0) -> None:
    """Refuse what is known to be JSON, if it is nested too deeply.

    `around` is how many levels stand around the payload.

    Raises:
        UnreadableError: if the payload is nested deeper than `DEPTH_MAX`.
    """
    most = DEPTH_MAX + around
    if data.count(b"[") + data.count(b"{") <= most:
        return
    brackets = _TEXT.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > most:
        raise UnreadableError(
            f"expected JSON of at most {most} levels, but it is nested deeper",
            reason="too_deep",
        )


_SPACES = re.compile(r"[ \t\n\r]*")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"expected JSON, but {name}", reason="bad_json")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def _shown_float(text: str) -> float:
    number = float(text)
    is_exact = isfinite(number) and Decimal(text) == Decimal(repr(number))
    return number if is_exact else KeptNumber(text)


def _shown_int(text: str) -> float:
    return KeptNumber(text) if text == "-0" else int(text)


_decode_shown = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_shown_float, parse_int=_shown_int
).decode
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_decode, _read_at = _decoder.decode, _decoder.raw_decode


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise UnreadableError(
            f"expected each key once, but {excerpt_of(twice)} stands twice",
            reason="duplicate_key",
        )
    return values


_decode_once = json.JSONDecoder(
    parse_constant=_refuse_constant, object_pairs_hook=_object_of
).decode

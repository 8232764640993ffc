"""The JSON codec of users' values: inputs, results and signals.

A value becomes compact UTF-8 JSON and keeps the order of its keys. A value that JSON
cannot carry is refused when it is written; the error names its type and path. When a
value is read, nothing is guessed from its shape.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NoReturn, cast

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import EXCERPT_CHARACTERS_MAX, UnreadableError, excerpt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_MAX = 200
"""How deep a command's payload may be nested. Deeper ones are data that nobody means,
and what reads them, here and elsewhere, runs out of stack. The search for a value that
cannot be written ends there too, and names the root."""


def encode_payload(value: object) -> bytes:
    """Encode a value as UTF-8 JSON.

    Keys that are numbers, booleans or None become text, as in `json.dumps`.

    Raises:
        EncodeError: if JSON cannot carry it; names the wrong value's type and path.
    """
    try:
        return _encode(value).encode()
    except RecursionError as error:
        raise EncodeError(
            "expected a JSON value, but one nested too deeply at $"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodeError(
            f"expected a JSON value, but {_locate_problem(value)}"
        ) from error


def decode_payload(data: bytes, *, once: bool = False) -> object:
    """Decode UTF-8 JSON; NaN and infinities are refused.

    With `once` a key that stands twice in an object is refused, too; else the last one
    counts, as everywhere.

    Raises:
        DecodeError: if it is anything else.
    """
    try:
        value: object = (_decode_once if once else _decode)(data.decode())
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


def check_payload(data: bytes) -> None:
    """Refuse what is no payload of a command: it is checked as its JSON form is.

    Raises:
        UnreadableError: if it is no JSON in UTF-8, nested deeper than `DEPTH_MAX`, or
            holds what JSON in UTF-8 cannot carry, such as a lone surrogate.
    """
    value = decode_payload(data)
    check_depth(data)
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


_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"expected JSON, but {name}", reason="bad_json")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


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


# --- why a value cannot be written ----------------------------------------------------


def _locate_problem(value: object) -> str:
    for path, problem in _walk(value, "$", ()):
        return f"{problem} at {path[:EXCERPT_CHARACTERS_MAX]}"
    return f"a {type(value).__name__} at $ that cannot be written"


def _walk(
    value: object, path: str, above: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """Yield what JSON cannot carry, depth first: its path, and what it is."""
    if not isinstance(value, dict | list | tuple):
        problem = _problem_of(value)
        if problem is not None:
            yield path, problem
        return
    inside = cast("dict[object, object] | list[object]", value)
    if id(inside) in above:
        yield path, f"a {type(inside).__name__} that holds itself"
    elif len(above) < DEPTH_MAX:
        above = (*above, id(inside))
        if isinstance(inside, dict):
            yield from _walk_object(inside, path, above)
        else:
            for index, item in enumerate(inside):
                yield from _walk(item, f"{path}[{index}]", above)


def _walk_object(
    value: dict[object, object], path: str, above: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        problem = _problem_of(key)
        if problem is not None:
            yield path, f"a key that is {problem}"
        name = ascii(key)[1:-1] if isinstance(key, str) else f"{key}"
        yield from _walk(item, f"{path}.{name[:EXCERPT_CHARACTERS_MAX]}", above)


def _problem_of(value: object) -> str | None:
    """Return why JSON cannot carry a value that holds no others; None if it can."""
    match value:
        case None:
            return None
        case str():
            return None if is_unicode(value) else "text with a lone surrogate"
        case float():
            return None if math.isfinite(value) else float.__repr__(value)
        case int():
            return None if _has_digits(value) else "an int of too many digits"
        case _:
            return f"a {type(value).__name__} (not JSON serializable)"


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can carry it: JSON's escapes can spell lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_digits(value: int) -> bool:
    try:
        int.__repr__(value)
    except ValueError:
        return False
    return True

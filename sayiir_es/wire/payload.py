"""The JSON codec of users' values: inputs, results and signals.

A value becomes compact UTF-8 JSON, with the order of keys kept. What JSON cannot carry
is refused when it is written, with the value's type and place; nothing is guessed from
a value's shape when it is read.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn, cast

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import EXCERPT_CHARACTERS_MAX, UnreadableError, excerpt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH_MAX = 200
"""How deep the search for the culprit goes; beyond it the message names the root."""


def encode_payload(value: object) -> bytes:
    """Encode a value as UTF-8 JSON.

    Keys that are numbers, booleans or None become text, as in `json.dumps`.

    Raises:
        EncodeError: if JSON cannot carry it; names the culprit's type and path.
    """
    try:
        return _encode(value).encode()
    except RecursionError as error:
        raise EncodeError(
            "expected a JSON value, but one nested too deeply at $"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise EncodeError(f"expected a JSON value, but {_culprit(value)}") from error


def decode_payload(data: bytes) -> object:
    """Decode UTF-8 JSON; NaN and infinities are refused.

    Raises:
        DecodeError: if it is anything else.
    """
    try:
        value: object = _decode(data.decode())
    except UnicodeDecodeError as error:
        seen = excerpt_of(error.object[error.start : error.start + 8])
        raise UnreadableError(
            f"expected JSON in UTF-8, but bytes {seen} at {error.start}",
            reason="bad_text",
        ) from error
    except json.JSONDecodeError as error:
        seen = excerpt_of(error.doc[error.pos : error.pos + 20])
        raise UnreadableError(
            f"expected JSON, but {seen} at character {error.pos}", reason="bad_json"
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


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"expected JSON, but {name}", reason="bad_json")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


# --- why a value cannot be written ----------------------------------------------------


def _culprit(value: object) -> str:
    for path, seen in _walk(value, "$", ()):
        return f"{seen} at {path[:EXCERPT_CHARACTERS_MAX]}"
    return f"a {type(value).__name__} at $ that cannot be written"


def _walk(
    value: object, path: str, above: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """What JSON cannot carry, depth first: its path, and what it is."""
    if not isinstance(value, dict | list | tuple):
        wrong = _wrong_with(value)
        if wrong is not None:
            yield path, wrong
        return
    inside = cast("dict[object, object] | list[object]", value)
    if id(inside) in above:
        yield path, f"a {type(inside).__name__} that holds itself"
    elif len(above) < _DEPTH_MAX:
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
        wrong = _wrong_with(key)
        if wrong is not None:
            yield path, f"a key that is {wrong}"
        name = ascii(key)[1:-1] if isinstance(key, str) else f"{key}"
        yield from _walk(item, f"{path}.{name[:EXCERPT_CHARACTERS_MAX]}", above)


def _wrong_with(value: object) -> str | None:
    """Why JSON cannot carry a value that holds no others; None if it can."""
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
    """Whether UTF-8 can carry it: JSON's escapes can spell lone surrogates."""
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

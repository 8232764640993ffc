"""Why JSON data cannot be written: where it stands, and what it is.

It is looked for only behind a refusal, so that what can be written pays nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from sayiir_es.wire.errors import EXCERPT_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_MAX = 200
"""How deep a payload may be nested. Deeper ones are data that nobody means, and what
reads them, here and elsewhere, runs out of stack. The search for a value that cannot be
written ends there too, and names the root."""


def locate_problem(value: object) -> str:
    """The first thing in JSON data that JSON in UTF-8 cannot carry, and its path."""
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


def is_ring(value: object) -> bool:
    """Whether a list or dict in it holds itself."""
    return any("that holds itself" in problem for _, problem in _walk(value, "$", ()))

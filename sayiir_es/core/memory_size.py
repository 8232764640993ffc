"""Sizes of memory as people write them: `"512MB"`, `"2GiB"`, a number of bytes."""

from __future__ import annotations

import re

_TEXT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kMGT]i?)?B?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

LEAST_BYTES = 16 * 1024 * 1024
"""A process of Python that has imported nothing yet takes about as much."""

MOST_BYTES = 2**50


def parse_memory_size(value: str | int, *, what: str = "memory") -> int:
    """A size in bytes, from a number of bytes or a text such as `"512MB"`.

    `kB`, `MB`, `GB` and `TB` are powers of 1000, `KiB`, `MiB`, `GiB` and `TiB` of 1024,
    in any case; the `B` may be left out. `what` names it in errors.

    Raises:
        ValueError: if it is no size, or no process could do with it.
    """
    size = _bytes_of(value)
    if size is None:
        raise ValueError(
            f"expected {what} as bytes, or a text such as 512MB or 2GiB, but {value!r}"
        )
    if not LEAST_BYTES <= size <= MOST_BYTES:
        raise ValueError(
            f"expected {what} of at least {text_of_size(LEAST_BYTES)} and at most "
            f"{text_of_size(MOST_BYTES)}, but {value!r}"
        )
    return size


def text_of_size(size: int) -> str:
    """A size in bytes as people read it: `512 MiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 (a unit is so many of the one before)
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"


def _bytes_of(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    unit = (match.group(2) or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    factor: int = base ** _POWERS[unit[:1]]
    return round(float(match.group(1)) * factor)

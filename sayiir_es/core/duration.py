"""Durations as people write them: `"30s"`, 1.5, `timedelta(minutes=5)`."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TypeAlias

Duration: TypeAlias = str | float | timedelta

_TEXT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)\s*", re.IGNORECASE)
_DAYS = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*d\s*", re.IGNORECASE)
_DAY_SECONDS = 86_400.0
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

MAX_MS = 2**53
"""Longest duration, in milliseconds: more is a mistake, and JSON could not hold it."""


def parse_duration(value: str | float) -> float:
    """A duration in seconds, from a number of seconds or a text such as `"30s"`.

    A text is an unsigned decimal number and a unit: `ms`, `s`, `m` or `h`, in any case,
    with blanks around it. Numbers pass through.

    Raises:
        ValueError: if the text is not a number and a unit.
    """
    if not isinstance(value, str):
        return float(value)
    match = _TEXT.fullmatch(value)
    if match is None:
        raise ValueError(
            f'Invalid duration: "{value}". Expected a number (seconds) or a string '
            'like "30s", "5m", "1h", "100ms".'
        )
    return float(match.group(1)) * _UNIT_SECONDS[match.group(2).lower()]


def long_duration_ms(value: Duration, *, what: str = "duration") -> int:
    """As `duration_ms`, and a text may have days as its unit: `"2d"`.

    Raises:
        ValueError: if it is not finite, negative, or longer than any clock runs.
    """
    days = _DAYS.fullmatch(value) if isinstance(value, str) else None
    if days is None:
        return duration_ms(value, what=what)
    return duration_ms(float(days.group(1)) * _DAY_SECONDS, what=what)


def duration_ms(value: Duration, *, what: str = "duration") -> int:
    """A duration in whole milliseconds; `what` names it in errors.

    Raises:
        ValueError: if it is not finite, negative, or longer than any clock runs.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    else:
        seconds = parse_duration(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{what} must be a finite non-negative number")
    ms = round(seconds * 1e9) // 1_000_000  # whole milliseconds of nanoseconds
    if ms > MAX_MS:
        raise ValueError(f"expected a {what} of at most {MAX_MS} ms, but {ms} ms")
    return ms

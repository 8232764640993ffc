"""Versions of workflows: texts, ordered as people count them."""

from __future__ import annotations

import re
from typing import TypeAlias

from sayiir_es.core.model.limits import DEFAULT_LIMITS

Order: TypeAlias = tuple[tuple[str, int], ...]
"""A version as pairs of a text and the number behind it; none of them: no version."""

_PAIR = re.compile("([^0-9]*)([0-9]*)")


def version_order(version: str | None) -> Order:
    """By what versions are ordered: `9` is before `10`, and no version before any."""
    if version is None:
        return ()
    pairs = _PAIR.findall(version)
    return tuple((text, int(digits) if digits else -1) for text, digits in pairs)


def checked_version(version: object) -> str | None:
    """The version, if it may be one.

    Raises:
        ValueError: if it is empty, no text, or too long.
    """
    if version is None:
        return None
    limit = DEFAULT_LIMITS.id_bytes
    if not isinstance(version, str) or not 0 < len(_utf8(version)) <= limit:
        raise ValueError(
            f"expected a version of 1 to {limit} bytes of text, but {version!r:.100}"
        )
    return version


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b""  # a lone surrogate: no text that the log can carry

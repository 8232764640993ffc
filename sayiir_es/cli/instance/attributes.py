"""Attributes of an instance as they are typed."""

from __future__ import annotations

from sayiir_es.core.model.errors import UsageError


def attributes_of(texts: list[str] | None) -> dict[str, str]:
    """Attributes as typed, `KEY=VALUE` each.

    Raises:
        UsageError: if one is not of that form, or a key comes twice.
    """
    attributes: dict[str, str] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageError(f"expected --attribute KEY=VALUE, but {text!r}")
        if key in attributes:
            raise UsageError(f"expected one --attribute {key}=…, but several")
        attributes[key] = value
    return attributes

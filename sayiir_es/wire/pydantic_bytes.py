"""Bytes in models, which Pydantic writes as text: exactly, where they are no text.

Theory of operation. Bytes that are UTF-8 stand in JSON as that text, as everywhere with
Pydantic. Others it refuses; here they are `data:;base64,…`, a URL of data, and are read
so. To this end each node for bytes in a class's schema is changed, and a serializer and
validators of our own are made of it; the class itself stays as it is. A model that says
by `ser_json_bytes` or `val_json_bytes` what it wants is left alone.
"""

from __future__ import annotations

import base64
from typing import Any, cast

PREFIX = "data:;base64,"

_NO_SCHEMAS = frozenset(
    (
        "metadata",
        "default",
        "expected",
        "cls",
        "config",
        "serialization",
        "generic_origin",
    )
)
"""Keys of a schema whose values hold none that we change."""


def has_bytes(schema: Any) -> bool:
    """Whether there is anything to change in a schema."""
    return "'type': 'bytes'" in repr(schema)


def with_exact_bytes(schema: Any) -> Any:
    """The schema, with bytes that are no text as a URL of data."""
    if isinstance(schema, list | tuple):
        made = [with_exact_bytes(part) for part in cast("list[Any]", schema)]
        return made if isinstance(schema, list) else tuple(made)
    if not isinstance(schema, dict):
        return schema
    pairs = cast("dict[str, Any]", schema)
    config: dict[str, Any] = pairs.get("config") or {}
    if "ser_json_bytes" in config or "val_json_bytes" in config:
        return pairs
    if pairs.get("type") == "bytes" and "serialization" not in pairs:
        return _exact(pairs)
    return {
        key: part if key in _NO_SCHEMAS else with_exact_bytes(part)
        for key, part in pairs.items()
    }


def _exact(schema: Any) -> Any:
    from pydantic_core import core_schema  # noqa: PLC0415 (loaded already)

    return core_schema.no_info_before_validator_function(
        _read,
        schema,
        ref=schema.get("ref"),
        serialization=core_schema.plain_serializer_function_ser_schema(
            _write, when_used="json"
        ),
    )


def _read(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.startswith(PREFIX):
        return base64.b64decode(value[len(PREFIX) :], validate=True)
    return value.encode()


def _write(value: object) -> object:
    if not isinstance(value, bytes):
        return value  # which Pydantic warns of itself
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = PREFIX
    if text.startswith(PREFIX):
        return PREFIX + base64.b64encode(value).decode()
    return text

"""The reference of the records on the topics, of their Avro schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_text import code, plain, table

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def schema_reference(argument: str) -> str:
    """Every record of one namespace: what it means, and its fields.

    The fields that all of them have, with one meaning, stand at the top.
    """
    schemas = [
        json.loads(path.read_text())
        for path in sorted(SCHEMAS.glob(f"io.sayiir.{argument}.v*.avsc"))
    ]
    if not schemas:
        raise ValueError(f"expected schemas of {argument!r}, but there are none")
    shared = [
        field
        for field in schemas[0]["fields"]
        if len(schemas) > 1 and all(field in one["fields"] for one in schemas)
    ]
    parts = [f"{len(schemas)} records."]
    if shared:
        parts += ["## Fields of all", _field_table(shared)]
    for schema in schemas:
        name = f"{schema['namespace']}.{schema['name']}"
        parts += [
            f"## {schema['name']}",
            plain(schema["doc"]),
            _field_table(one for one in schema["fields"] if one not in shared),
            f"[{name}](../../schemas/{name}.avsc)",
        ]
    return "\n\n".join(parts)


def _field_table(fields: Iterable[dict[str, Any]]) -> str:
    return table(
        ("field", "type", "is"),
        (
            (
                code(field["name"]),
                _type_text(field["type"]),
                plain(field.get("doc", "")) + _default_text(field),
            )
            for field in fields
        ),
    )


def _type_text(kind: Any) -> str:
    match kind:
        case str():
            return code(kind.rpartition(".")[2])
        case [*kinds]:
            return " or ".join(_type_text(one) for one in kinds)
        case {"logicalType": logical, "type": inner}:
            return f"{code(inner)} ({logical})"
        case {"type": "array", "items": items}:
            return f"array of {_type_text(items)}"
        case {"type": "map", "values": values}:
            return f"map of {_type_text(values)}"
        case {"type": "enum", "symbols": symbols}:
            return ", ".join(code(one) for one in symbols)
        case {"type": "record", "fields": fields}:
            names = ", ".join(
                f"{code(one['name'])} {_type_text(one['type'])}" for one in fields
            )
            return f"record of {names}"
        case {"type": inner}:
            return _type_text(inner)
        case _:
            raise ValueError(f"expected an Avro type, but {kind!r}")


def _default_text(field: dict[str, Any]) -> str:
    if "default" not in field or field["default"] is None:
        return ""
    return f" Default: {code(json.dumps(field['default']))}."

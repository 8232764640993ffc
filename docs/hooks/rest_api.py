"""The reference of the REST API, of the OpenAPI document that it serves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from markdown_text import code, plain, table

from sayiir_es import InMemoryBackend
from sayiir_es.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "/api/v1"
"""Of every route; left out of headings, which are long."""

METHODS = ("get", "post", "put", "patch", "delete")


def rest_reference(argument: str) -> str:
    """Every route: what it does, what it takes, and what it answers."""
    del argument
    with InMemoryBackend() as backend:
        document = create_app(backend).openapi()
    return "\n\n".join((*_routes(document), *_schemas(document)))


def _routes(document: dict[str, Any]) -> Iterator[str]:
    yield "## Routes"
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield from _route(method, path, item[method])


def _route(method: str, path: str, route: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {path.removeprefix(PREFIX)}"
    yield f"{code(f'{method.upper()} {path}')}: {plain(route.get('summary', ''))}"
    if route.get("description"):
        yield route["description"]
    yield table(
        ("parameter", "in", "type", "is"),
        (
            (
                code(one["name"]) + (" (required)" if one.get("required") else ""),
                one["in"],
                _type_text(one.get("schema", {})),
                plain(
                    one.get("description") or one.get("schema", {}).get("title") or ""
                ),
            )
            for one in route.get("parameters", ())
        ),
    )
    body = route.get("requestBody", {}).get("content", {})
    for media_type, content in body.items():
        yield f"Body ({code(media_type)}): {_type_text(content.get('schema', {}))}"
    yield table(
        ("status", "body", "is"),
        (
            (code(status), _content_text(one), plain(one.get("description", "")))
            for status, one in route.get("responses", {}).items()
        ),
    )


def _content_text(response: dict[str, Any]) -> str:
    return ", ".join(
        f"{code(media_type)} {_type_text(one.get('schema', {}))}".strip()
        for media_type, one in response.get("content", {}).items()
    )


def _schemas(document: dict[str, Any]) -> Iterator[str]:
    schemas = document.get("components", {}).get("schemas", {})
    if schemas:
        yield "## Bodies"
    for name, schema in schemas.items():
        yield f"### {name}"
        yield plain(schema.get("description", ""))
        required = schema.get("required", ())
        yield table(
            ("field", "type", "is"),
            (
                (
                    code(field) + (" (required)" if field in required else ""),
                    _type_text(one),
                    plain(one.get("description", "")) + _default_text(one),
                )
                for field, one in schema.get("properties", {}).items()
            ),
        )


def _type_text(schema: dict[str, Any]) -> str:
    match schema:
        case {"$ref": address}:
            name = address.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": kinds} | {"oneOf": kinds} | {"allOf": kinds}:
            return " or ".join(_type_text(one) for one in kinds)
        case {"enum": values}:
            return ", ".join(code(json.dumps(one)) for one in values)
        case {"const": value}:
            return code(json.dumps(value))
        case {"type": "array", "items": items}:
            return f"array of {_type_text(items)}"
        case {"type": "object", "additionalProperties": values} if values not in (
            True,
            False,
        ):
            return f"object of {_type_text(values)}"
        case {"type": kind}:
            form = schema.get("format") or schema.get("contentMediaType")
            return code(kind) + (f" ({form})" if form else "")
        case _:
            return "any JSON"


def _default_text(schema: dict[str, Any]) -> str:
    if schema.get("default") is None:
        return ""
    return f" Default: {code(json.dumps(schema['default']))}."

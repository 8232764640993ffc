"""The OpenAPI document: that of FastAPI, with our errors and tokens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from sayiir_es.web.problems import PROBLEM, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

DESCRIPTION = """
Start, look at and control instances of durable workflows.

* Errors are `application/problem+json`; `code` is stable, and `sayiir-es error CODE` explains it.
* A command with a `command_id`, or with the header `Idempotency-Key`, may be sent again: it is carried out once.
* Values whose names have `password`, `token`, `secret`, `authorization` or `card` in them are shown as `***`.
"""  # noqa: E501 (a paragraph a line)

TAGS = [
    {"name": "instances", "description": "Start, find and look at instances."},
    {"name": "control", "description": "Commands to one instance."},
    {"name": "history", "description": "Events, and the state behind any of them."},
    {"name": "bulk", "description": "One command for all that match."},
    {
        "name": "limits",
        "description": "How many attempts run at a time, by key, and how many runs.",
    },
    {"name": "workflows", "description": "What can be started."},
]

_OF_ALL = {
    "401": "No token, or one that is not known.",
    "403": "The token may look only, or a page of another site asks.",
    "422": "The request is not what the address takes.",
    "503": "The log, or the owner of the instance, does not answer.",
}
_OF_COMMANDS = {
    "409": "The owner refused it; `rejection` says why.",
    "413": "The body is too large.",
}
_OF_INSTANCES = {"404": "There is no such thing."}


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of an application; made once."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(
        title="sayiir_es",
        version=app.version,
        description=DESCRIPTION.strip(),
        routes=app.routes,
        tags=TAGS,
    )
    document["paths"] = {  # health and metrics are for machines of another kind
        path: one for path, one in document["paths"].items() if path.startswith("/api/")
    }
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = TypeAdapter(Problem).json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Where asked for."}
    }
    document["security"] = [{"token": []}, {}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_errors(path, method, operation)
    app.openapi_schema = document
    return document


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    errors = dict(_OF_ALL)
    if method == "post":
        errors |= _OF_COMMANDS
    if "{" in path or method == "post":
        errors |= _OF_INSTANCES
    schema = {"$ref": "#/components/schemas/Problem"}
    for status, description in sorted(errors.items()):
        operation["responses"][status] = {
            "description": description,
            "content": {PROBLEM: {"schema": schema}},
        }

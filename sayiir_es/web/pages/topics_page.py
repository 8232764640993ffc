"""`/topics`: what stands on the topics, as `asyncapi.yaml` says, and its schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from fastapi import APIRouter, Request, Response

from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.operations.schema_check import FROZEN, SUFFIX, versions_in
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import SiteOfRequest
from sayiir_es.wire.schema import schema_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from sayiir_es.operations.schema_check import RecordVersion

router = APIRouter(include_in_schema=False)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic as the page shows it."""

    name: str
    address: str
    title: str
    description: str
    cleanup: str
    retention: str
    messages: tuple[dict[str, str], ...]


@router.get("/topics")
async def show_topics(request: Request, site: SiteOfRequest) -> Response:
    """All topics, and the versions of every schema."""
    session = site.session
    await session.open()
    return page(
        request,
        "topics/list.html",
        channels=channels(),
        about=_document()["info"]["description"],
        schemas=_schemas(),
        partitions=session.log.partitions,
        backend=site.masking.text(site.backend.url),
    )


@router.get("/topics/schemas/{name}")
async def show_schema(request: Request, name: str) -> Response:
    """One schema: its fields, and every version that was published."""
    versions = _versions().get(name)
    if versions is None:
        raise NotFoundError(f"expected a schema, but there is no {name!r:.200}")
    return page(
        request,
        "topics/schema.html",
        name=name,
        short=name.rpartition(".")[2],
        versions=list(reversed(versions)),
        text=_schema_text(schema_directory(), name),
        fields=[
            {
                "name": field["name"],
                "type": type_text(field["type"]),
                "doc": field.get("doc"),
            }
            for field in json.loads(_schema_text(schema_directory(), name))["fields"]
        ],
        doc=versions[-1].doc,
    )


def asyncapi_file() -> Traversable | Path:
    """Where `asyncapi.yaml` is: in the installed package or the checkout."""
    packaged = resources.files("sayiir_es.web") / "asyncapi.yaml"
    if packaged.is_file():
        return packaged
    return Path(__file__).resolve().parents[3] / "asyncapi.yaml"


@cache
def _document() -> Any:
    return yaml.safe_load(asyncapi_file().read_text("utf-8"))


@cache
def channels() -> tuple[Channel, ...]:
    """The topics of the document, in its order."""
    document = _document()
    return tuple(
        _channel(document, name, data) for name, data in document["channels"].items()
    )


def _channel(document: Any, name: str, data: Any) -> Channel:
    bindings = data.get("bindings", {}).get("kafka", {})
    settings = bindings.get("topicConfiguration", {})
    return Channel(
        name=name,
        address=data["address"].replace("{app}", "APP"),
        title=data["title"],
        description=data.get("description", ""),
        cleanup=", ".join(settings.get("cleanup.policy", ())),
        retention=_retention(settings.get("retention.ms")),
        messages=tuple(
            _message(document, key, message)
            for key, message in data["messages"].items()
        ),
    )


def _message(document: Any, key: str, data: Any) -> dict[str, str]:
    name = str(data["$ref"]).rpartition("/")[2]
    message = document["components"]["messages"][name]
    reference = str(message.get("payload", {}).get("schema", {}).get("$ref", ""))
    file = reference.rpartition("/")[2]
    return {
        "name": key,
        "summary": message.get("summary") or message.get("description") or "",
        "schema": file.removesuffix(SUFFIX) if file.endswith(SUFFIX) else "",
    }


def _retention(ms: int | None) -> str:
    if ms is None:
        return ""
    if ms < 0:
        return "for ever"
    return f"{ms // DAY_MS} d" if ms >= DAY_MS else f"{ms // HOUR_MS} h"


@cache
def _versions() -> dict[str, list[RecordVersion]]:
    return versions_in(schema_directory())


@cache
def _schemas() -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "name": name,
            "short": name.rpartition(".")[2],
            "kind": name.split(".")[-3],
            "fingerprint": versions[-1].fingerprint,
            "versions": len({one.fingerprint for one in versions}),
            "fields": len(versions[-1].schema.fields),
            "doc": versions[-1].doc,
        }
        for name, versions in sorted(_versions().items())
    )


def type_text(type_: object) -> str:
    """The type of a field in few characters: `string?`, `{long}`, `[string]`."""
    if isinstance(type_, list):
        union = cast("Sequence[object]", type_)
        others = [type_text(one) for one in union if one != "null"]
        return " | ".join(others) + ("?" if "null" in union else "")
    if isinstance(type_, dict):
        named = cast("dict[str, Any]", type_)
        kind = named.get("type")
        if kind == "map":
            return "{" + type_text(named["values"]) + "}"
        if kind == "array":
            return "[" + type_text(named["items"]) + "]"
        return str(named.get("logicalType") or named.get("name") or kind)
    return str(type_)


def _schema_text(directory: Traversable, name: str) -> str:
    file = directory / f"{name}{SUFFIX}"
    if not file.is_file():  # it is written no more
        file = next(
            one
            for one in sorted((directory / FROZEN).iterdir(), key=lambda one: one.name)
            if one.name.startswith(name)
        )
    return json.dumps(json.loads(file.read_text("utf-8")), indent=2)

"""Events as JSON objects, for people and for tools without Avro."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, cast

from sayiir_es.core.model.errors import DecodeError
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event


def event_to_json(
    event: Event, *, partition: int | None = None, offset: int | None = None
) -> dict[str, object]:
    """Return an event as one flat object: kind, place, common fields, own fields.

    Payload bytes that are JSON become JSON, others `{"base64": …}`. Partition and
    offset are left out where they are None.
    """
    json_event: dict[str, object] = {"kind": event.kind}
    if partition is not None:
        json_event["partition"] = partition
    if offset is not None:
        json_event["offset"] = offset
    for name in ("instance_id", "run", "sequence", "at", "claim", "cause"):
        json_event[name] = getattr(event, name)
    for field in fields(event.body):
        json_event[field.name] = _plain(getattr(event.body, field.name))
    return json_event


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return _payload(value)
    if isinstance(value, tuple):
        return list(cast("tuple[str, ...]", value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, str]", value))
    return value


def _payload(data: bytes) -> object:
    try:
        return decode_payload(data, shown=True)
    except DecodeError:
        return {"base64": base64.b64encode(data).decode()}

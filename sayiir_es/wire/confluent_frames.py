"""Confluent's frame: a zero byte and a schema's id in place of its fingerprint.

Theory of operation. A record under single-object encoding and one in Confluent's frame
differ in their first bytes only: a head of ten bytes with the fingerprint, or a frame
of five with the id that a registry gave to the schema. So one is replaced by the other
and nothing is encoded twice. Ids are read when the log is opened, by registering every
schema that this build has; the schema of another id is requested when the id is first
seen. Those ids are many or hostile, so only some are remembered.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.wire.schema import (
    COMMAND_NAMESPACE,
    EVENT_NAMESPACE,
    HEAD_BYTES,
    SNAPSHOT_NAMESPACE,
    parse_record,
    schema_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.wire.schema_registry import SchemaRegistry

FRAME_BYTES = 5

IDS_MAX = 1_000
"""How many ids that are none of this build's are remembered, the latest ones. Anyone
may write any id; one that was forgotten is requested again."""

_ZERO = b"\x00"
_PUBLISHED = tuple(
    f"{namespace}."
    for namespace in (EVENT_NAMESPACE, COMMAND_NAMESPACE, SNAPSHOT_NAMESPACE)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSchema:
    """A schema under its subject, which is the record's full name."""

    subject: str
    schema_id: int
    head: bytes


def published_schemas() -> Iterator[tuple[str, str]]:
    """Yield subject and text of every schema, those of earlier versions first."""
    for folder in (schema_directory() / "frozen", schema_directory()):
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.startswith(_PUBLISHED):
                text = file.read_text(encoding="utf-8")
                fields = json.loads(text)
                yield f"{fields['namespace']}.{fields['name']}", text


def register_all(registry: SchemaRegistry) -> list[RegisteredSchema]:
    """Register every published schema; one that is registered already keeps its id.

    Raises:
        SettingsError: if the registry refuses one.
        LogUnavailableError: if it does not answer.
    """
    by_head: dict[bytes, RegisteredSchema] = {}
    for subject, text in published_schemas():
        head = parse_record(text).head
        if head not in by_head:  # the newest is among the earlier ones, too
            schema_id = registry.register(subject, text)
            by_head[head] = RegisteredSchema(
                subject=subject, schema_id=schema_id, head=head
            )
    return list(by_head.values())


class ConfluentFrames:
    """Replaces heads by frames and back, with the ids of a schema registry."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._frames: dict[bytes, bytes] = {}
        self._heads: dict[bytes, bytes] = {}
        self._requested: dict[bytes, bytes | None] = {}
        """Heads of frames that were not registered here; None where it is not ours."""

    async def open(self) -> None:
        """Register every schema now, so that no event has to wait for an id.

        Raises:
            SettingsError: if the registry refuses one.
            LogUnavailableError: if it does not answer.
        """
        for schema in await asyncio.to_thread(register_all, self._registry):
            frame = _ZERO + schema.schema_id.to_bytes(FRAME_BYTES - 1, "big")
            self._frames[schema.head] = frame
            self._heads[frame] = schema.head

    def frame(self, value: bytes) -> bytes:
        """Return one of our records in Confluent's frame, any other value unchanged."""
        frame = self._frames.get(value[:HEAD_BYTES])
        return value if frame is None else frame + value[HEAD_BYTES:]

    async def unframe(self, value: bytes) -> bytes:
        """Return a framed record in single-object encoding, any other value unchanged.

        Raises:
            LogUnavailableError: if a schema must be requested and the registry does not
                answer.
        """
        if value[:1] != _ZERO or len(value) < FRAME_BYTES:
            return value
        frame = value[:FRAME_BYTES]
        head = self._heads.get(frame)
        if head is None:
            head = await self._request_head(frame)
        return value if head is None else head + value[FRAME_BYTES:]

    async def _request_head(self, frame: bytes) -> bytes | None:
        if frame in self._requested:
            head = self._requested.pop(frame)
        else:
            schema_id = int.from_bytes(frame[1:], "big")
            text = await asyncio.to_thread(self._registry.schema, schema_id)
            head = None if text is None else _head_of(text)
            while len(self._requested) >= IDS_MAX:
                del self._requested[next(iter(self._requested))]
        self._requested[frame] = head  # the last one is the latest
        return head


def _head_of(text: str) -> bytes | None:
    try:
        return parse_record(text).head
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # no schema of flat records: none of ours

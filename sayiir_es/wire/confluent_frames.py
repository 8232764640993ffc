"""Confluent's frame: a zero byte and a schema's id in place of its fingerprint.

Theory of operation. A record under single-object encoding and one in Confluent's frame
differ in their heads only: ten bytes that hold the fingerprint, or five that hold the
id that a registry gave to the schema. So a head is changed for the other and nothing is
encoded twice. Ids are learnt when the log is opened, by registering every schema that
this build knows; another's is asked for when it is met first.
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
    """Subject and text of every schema, those of earlier versions first."""
    for folder in (schema_directory() / "frozen", schema_directory()):
        for file in sorted(folder.iterdir(), key=lambda one: one.name):
            if file.name.startswith(_PUBLISHED):
                text = file.read_text(encoding="utf-8")
                fields = json.loads(text)
                yield f"{fields['namespace']}.{fields['name']}", text


def register_all(registry: SchemaRegistry) -> list[RegisteredSchema]:
    """Register every published schema; those that are registered keep their ids.

    Raises:
        SettingsError: if the registry refuses one.
        LogUnavailableError: if it does not answer.
    """
    done: dict[bytes, RegisteredSchema] = {}
    for subject, text in published_schemas():
        head = parse_record(text).head
        if head not in done:  # the newest stands among the earlier ones, too
            schema_id = registry.register(subject, text)
            done[head] = RegisteredSchema(
                subject=subject, schema_id=schema_id, head=head
            )
    return list(done.values())


class ConfluentFrames:
    """Changes heads, with what a registry says."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._frames: dict[bytes, bytes] = {}
        self._heads: dict[bytes, bytes | None] = {}

    async def open(self) -> None:
        """Register every schema, so that no event waits for it.

        Raises:
            SettingsError: if the registry refuses one.
            LogUnavailableError: if it does not answer.
        """
        for one in await asyncio.to_thread(register_all, self._registry):
            frame = _ZERO + one.schema_id.to_bytes(FRAME_BYTES - 1, "big")
            self._frames[one.head] = frame
            self._heads[frame] = one.head

    def framed(self, value: bytes) -> bytes:
        """A record of ours in Confluent's frame; anything else as it is."""
        frame = self._frames.get(value[:HEAD_BYTES])
        return value if frame is None else frame + value[HEAD_BYTES:]

    async def unframed(self, value: bytes) -> bytes:
        """A framed record under single-object encoding; anything else as it is.

        Raises:
            LogUnavailableError: if the registry must be asked and does not answer.
        """
        if value[:1] != _ZERO or len(value) < FRAME_BYTES:
            return value
        frame = value[:FRAME_BYTES]
        if frame not in self._heads:
            number = int.from_bytes(frame[1:], "big")
            text = await asyncio.to_thread(self._registry.schema, number)
            self._heads[frame] = None if text is None else _head_of(text)
        head = self._heads[frame]
        return value if head is None else head + value[FRAME_BYTES:]


def _head_of(text: str) -> bytes | None:
    try:
        return parse_record(text).head
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # no schema of flat records: none of ours

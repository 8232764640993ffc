"""Writes records for tests of dead letters, past every client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.backends import backend_from_url
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

START = b'{"command":"StartWorkflow","workflow":"doubling","input":21}'


def produce(url: str, topic: Topic, records: Sequence[NewRecord]) -> None:
    """Write records to partition 0 of a topic."""

    async def body() -> None:
        log = backend_from_url(url).open_log()
        await log.open(create=True)
        for record in records:
            await log.produce(topic, 0, record)
        await log.close()

    asyncio.run(body())


def command(
    value: bytes | None, *, key: bytes | None = b"a", **headers: bytes
) -> NewRecord:
    """A record of the commands topic."""
    return NewRecord(key=key, value=value, headers=tuple(headers.items()))


def letter(value: bytes, *, key: bytes = b"a", **headers: bytes) -> NewRecord:
    """A dead letter of a command at 0@7 that this build can read, after all."""
    ours = (
        ("reason", b"unknown_command: of a newer build"),
        ("position", b"0@7"),
        ("record-key", key),
    )
    return NewRecord(key=b"0@7", value=value, headers=(*ours, *headers.items()))

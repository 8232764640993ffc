"""`sayiir-es partition list`: who decides for which partition, and how far it is.

All of it is what the log says. A claim stands until the next one, so its owner may be
gone; commands that wait then grow in number, and the last event in age. What keeps a
partition from being served stands in its row, and does not keep the others from being
listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, in_session
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import Format, OutputOption, print_rows
from sayiir_es.cli.text import format_time
from sayiir_es.core.model.errors import HistoryError, OffsetGoneError, StoreError
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.core.model.position import NO_CLAIM, Position
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.log.port import Log

READ_WAIT_S = 1.0

_COLUMNS = (
    *("partition", "owner", "claim", "claimed", "events", "last event", "behind"),
    "trouble",
)


def list_partitions(
    *, url: BackendOption = DEFAULT_BACKEND, output: OutputOption = Format.TABLE
) -> int:
    """List the partitions: owner, events, commands that wait, and what is wrong."""
    rows = in_session(url, _read)
    has_trouble = any(row["trouble"] for row in rows)
    if output is Format.TABLE:
        rows = [_for_people(row) for row in rows]
    print_rows(rows, _COLUMNS, output)
    return FAILED if has_trouble else 0


def _for_people(row: dict[str, object]) -> dict[str, object]:
    """As a table shows it: whole seconds, and the owner without its incarnation."""
    return {
        "partition": row["partition"],
        "owner": str(row["owner"] or "").partition("/")[0],
        "claim": row["claim"],
        "claimed": _second(row["claimed_at"]),
        "events": row["end_offset"],
        "last event": _second(row["last_event_at"]),
        "behind": row["commands_behind"],
        "trouble": row["trouble"] or "",
    }


def _second(at: object) -> str:
    return format_time(at).partition(".")[0] if isinstance(at, int) else ""


async def _read(session: Session) -> list[dict[str, object]]:
    """One object a partition, as of its end now."""
    await session.open()
    await session.definitions.refresh()
    count = session.log.partitions
    return [await _row(session, partition) for partition in range(count)]


async def _row(session: Session, partition: int) -> dict[str, object]:
    """What is known of one partition; an error in reading it is part of that."""
    log = session.log
    position, claim, trouble = Position(), None, None
    try:
        position = (await session.read_store(partition)).position
        if position.claim != NO_CLAIM:
            claim = await _event_at(log, partition, position.claim)
    except (HistoryError, OffsetGoneError, StoreError) as error:
        trouble = f"cannot be read here: {error}"
    body = claim.body if claim is not None else None
    start = await log.start_offset(Topic.EVENTS, partition)
    end = await log.end_offset(Topic.EVENTS, partition)
    commands = await log.end_offset(Topic.COMMANDS, partition)
    behind = max(0, commands - position.next_command)
    owner = position.owner or None
    if trouble is None:
        trouble = await _trouble(session, partition, owner, behind)
    return {
        "partition": partition,
        "owner": owner,
        "build": body.build if isinstance(body, PartitionClaimed) else None,
        "claim": None if position.claim == NO_CLAIM else position.claim,
        "claimed_at": None if claim is None else claim.at,
        "events": end - start,
        "end_offset": end,
        "last_event_at": position.at or None,
        "next_command": position.next_command,
        "commands_behind": behind,
        "trouble": trouble,
    }


async def _trouble(
    session: Session, partition: int, owner: str | None, behind: int
) -> str | None:
    """What keeps the partition from being served, if anything does."""
    from sayiir_es.client.unserved import (  # noqa: PLC0415 (slow to import)
        find_open_transaction,
        find_refusal,
        no_worker,
    )

    obstacle = find_refusal(session.registry, partition, owner)
    if obstacle is None:
        obstacle = await find_open_transaction(session.log, partition)
    if obstacle is None and behind and not session.registry.workers():
        obstacle = no_worker(partition)
    return None if obstacle is None else str(obstacle)


async def _event_at(log: Log, partition: int, offset: int) -> Event | None:
    """The event at an offset, if the log still holds it."""
    if offset < await log.start_offset(Topic.EVENTS, partition):
        return None
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    if chunk is None or not chunk.records or chunk.records[0].offset != offset:
        return None
    from sayiir_es.engine.fold import (  # noqa: PLC0415 (slow to import)
        decode_record,
        read_event_headers,
    )

    record = chunk.records[0]
    return decode_record(record, read_event_headers(record, partition), partition)

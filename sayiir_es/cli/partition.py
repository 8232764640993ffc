"""`sayiir-es partition`: who decides for which, how far it is, what it lost, strays.

Its owner says how far it is. Where none answers it is what the log says: a claim stands
until the next one, so its owner may be gone; commands that wait then grow in number,
and the last event in age. What keeps a
partition from being served stands in its row, and does not keep the others from being
listed.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    in_session,
    open_backend,
)
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.core.model.errors import (
    HistoryError,
    OffsetGoneError,
    StoreError,
    UsageError,
)
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.core.model.position import NO_CLAIM, Position
from sayiir_es.log.port import Topic
from sayiir_es.operations.partition_view import partition_view
from sayiir_es.operations.text import format_time

if TYPE_CHECKING:
    from sayiir_es.client.backends import KafkaBackend
    from sayiir_es.client.partitions import PartitionStatus
    from sayiir_es.client.session import Session
    from sayiir_es.log.port import Log
    from sayiir_es.wire.partition_reports import PartitionReport

READ_WAIT_S = 1.0
_TIMES = frozenset(("now", "serving_since", "last_event_at", "since", "deadline_at"))

_STRAY_COLUMNS = ("partition", "commands")

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


def show(
    partition: Annotated[
        int, typer.Argument(metavar="PARTITION", min=0, help="Its number.")
    ],
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Show a partition: how far its owner is, what runs and waits, its instances."""
    from sayiir_es.client.partitions import (  # noqa: PLC0415 (slow to import)
        describe_partition,
    )

    async def read(session: Session) -> PartitionStatus:
        try:
            return await describe_partition(session, partition)
        except ValueError as error:
            raise UsageError(str(error)) from error

    status = in_session(url, read)
    view = partition_view(status)
    if output is Format.TABLE:
        report = view.pop("report")
        view |= cast("dict[str, object]", report or {})
        view = {name: _shown(name, value) for name, value in view.items()}
    print_object(view, output)
    return FAILED if status.trouble is not None and not status.is_served else 0


def _shown(name: str, value: object) -> object:
    """As a table shows it: times to read, and one line for each thing in a list."""
    if isinstance(value, int) and name in _TIMES:
        return format_time(value)
    if isinstance(value, list | tuple):
        return "\n".join(_line(one) for one in cast("list[object]", value))
    if isinstance(value, dict):
        return _line(cast("object", value))
    return value


def _line(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    fields = cast("dict[str, object]", value)
    return " ".join(
        f"{name}={format_time(one) if name in _TIMES and isinstance(one, int) else one}"
        for name, one in fields.items()
        if one not in (None, "")
    )


def forward(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be forwarded.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Bring home commands from partitions that somebody added to the topic."""
    if not (yes or dry_run or sys.stdin.isatty()):
        raise UsageError(
            "expected --yes or --dry-run where no terminal can be asked, but neither"
        )
    backend = open_backend(url)
    from sayiir_es.client.backends import KafkaBackend  # noqa: PLC0415 (slow to import)

    if not isinstance(backend, KafkaBackend):
        print_message(f"nothing to do: nobody adds partitions to {backend.url}")
        print_rows([], _STRAY_COLUMNS, output)
        return 0
    return asyncio.run(_forward(backend, output, dry_run=dry_run, yes=yes))


async def _forward(
    backend: KafkaBackend, output: Format, *, dry_run: bool, yes: bool
) -> int:
    from sayiir_es.cli import stray_commands  # noqa: PLC0415 (slow to import)
    from sayiir_es.client.backends.framing import (  # noqa: PLC0415 (as above)
        without_framing,
    )
    from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (as above)

    log = backend.open_log()
    await log.open(create=False)
    try:
        kafka_log = without_framing(log)
        assert isinstance(kafka_log, KafkaLog)
        strays = await kafka_log.find_strays()
        rows = [
            {"partition": one.partition, "commands": one.end - one.start}
            for one in strays
        ]
        print_rows(rows, _STRAY_COLUMNS, output)
        if dry_run or not strays:
            print_message("nothing was forwarded", "dim")
            return 0
        if not yes:
            typer.confirm("forward them to where an owner reads?", abort=True, err=True)
        count, kept = await stray_commands.forward(log, kafka_log, strays)
    finally:
        await log.close()
    print_message(f"{count} forwarded; the events say what became of each", "green")
    if kept is not None:
        print_message(
            f"they stand where they stood, too, and are acknowledged as known if they "
            f"are forwarded again: {kept}",
            "yellow",
        )
    return 0


def accept_loss(
    partition: Annotated[
        int, typer.Argument(metavar="PARTITION", min=0, help="Its number.")
    ],
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Recorded with the event of the loss.")
    ] = "",
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Serve a partition on without commands that were deleted before they were read."""

    async def work(session: Session) -> dict[str, object]:
        await session.open()
        count = session.log.partitions
        if partition >= count:
            raise UsageError(
                f"expected a partition of 0 to {count - 1}, but {partition}"
            )
        next_command = (await session.read_store(partition)).position.next_command
        start = await session.log.start_offset(Topic.COMMANDS, partition)
        if start <= next_command:
            raise UsageError(
                f"expected a partition that lost commands, but {partition} has command "
                f"{next_command}, which is its next one"
            )
        from sayiir_es.engine.definitions.accepted_loss import (  # noqa: PLC0415 (slow)
            AcceptedLoss,
        )

        accepted_by = f"{_user()}@{socket.gethostname()}"
        loss = AcceptedLoss(end_offset=start, accepted_by=accepted_by, reason=reason)
        await session.definitions.accept_loss(partition, loss)
        return {
            "partition": partition,
            "first_offset": next_command,
            "end_offset": start,
            "accepted_by": accepted_by,
            "reason": reason,
        }

    print_object(in_session(url, work), output)
    print_message(
        f"partition {partition} is served on within seconds, by a worker that runs"
    )


def _user() -> str:
    """Who runs this, as far as the system knows a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have none
        return str(os.getuid())


def _for_people(row: dict[str, object]) -> dict[str, object]:
    """As a table shows it: whole seconds, and the owner without its incarnation."""
    return {
        "partition": row["partition"],
        "owner": str(row["owner"] or "").partition("/")[0],
        "claim": row["claim"],
        "claimed": _second(row["claimed_at"]),
        "events": row["end_offset"],
        "last event": _second(row["last_event_at"]),
        "behind": _waiting(row),
        "trouble": row["trouble"] or "",
    }


def _waiting(row: dict[str, object]) -> object:
    """How many commands wait; forks that wait for their source only if there are."""
    behind, deferred = row["commands_behind"], row["commands_deferred"]
    return f"{behind} + {deferred} deferred" if deferred else behind


def _second(at: object) -> str:
    return format_time(at).partition(".")[0] if isinstance(at, int) else ""


async def _read(session: Session) -> list[dict[str, object]]:
    """One object a partition, as of its end now."""
    from sayiir_es.client.partitions import (  # noqa: PLC0415 (slow to import)
        describe_partitions,
    )

    statuses = await describe_partitions(session)
    return [await _row(session, one.partition, one.report) for one in statuses]


async def _row(
    session: Session, partition: int, report: PartitionReport | None
) -> dict[str, object]:
    """What is known of one partition; an error in reading it is part of that.

    Its owner says how far it is; where none answers, the events do.
    """
    log = session.log
    position, claim, trouble = Position(), None, None
    try:
        if report is None:
            position = (await session.read_store(partition)).position
        else:
            position = _position_of(report)
        if position.claim != NO_CLAIM:
            claim = await _event_at(log, partition, position.claim)
    except (HistoryError, OffsetGoneError, StoreError) as error:
        trouble = f"cannot be read here: {error}"
    from sayiir_es.client.unserved import find_loss  # noqa: PLC0415 (slow to import)

    body = claim.body if claim is not None else None
    start = await log.start_offset(Topic.EVENTS, partition)
    end = await log.end_offset(Topic.EVENTS, partition)
    commands = await log.end_offset(Topic.COMMANDS, partition)
    behind = max(0, commands - position.next_command)
    owner = position.owner or None
    if trouble is None:
        loss = await find_loss(log, partition, position.next_command)
        trouble = None if loss is None else str(loss)
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
        "commands_deferred": (
            len(position.deferred)
            if report is None
            else report.undecided_count - report.commands_behind
        ),
        "running": None if report is None else report.running_count,
        "queued": None if report is None else report.queued_attempts,
        "timer_overdue_ms": None if report is None else report.timer_overdue_ms,
        "store_bytes": None if report is None else report.store_bytes,
        "trouble": trouble,
    }


def _position_of(report: PartitionReport) -> Position:
    return Position(
        offset=report.offset,
        claim=report.claim,
        owner=report.owner_id,
        next_command=report.next_command,
        at=report.last_event_at or 0,
    )


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

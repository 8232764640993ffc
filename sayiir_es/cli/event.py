"""`sayiir-es event tail`: the stream of events, valid ones only."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.event_lines import line, shown
from sayiir_es.cli.output import Format, OutputOption, data, to_json, write_line
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.valid_events import (
    EventFilter,
    ValidEvents,
    find_offset_before,
    merge_by_time,
)
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.errors import UsageError
from sayiir_es.wire.events import KINDS

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.client.valid_events import FoundEvent

LOOK_S = 1.0

app = typer.Typer(
    help="Read the stream of events.",
    epilog="Example: sayiir-es event tail",
    no_args_is_help=True,
)

_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})")


@app.callback()
def group() -> None:
    """Read the stream of events."""


@app.command(epilog="Example: sayiir-es event tail --kind TaskCompleted --from -10m")
def tail(
    *,
    instance_id: Annotated[
        str | None, typer.Option("--instance", help="Only of that instance.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only of that kind; repeatable.")
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="earliest|-10m|P:OFFSET",
            help="Where to begin: the first, so long ago, or an offset of a partition.",
        ),
    ] = "earliest",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes.")
    ] = False,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print valid events, by the claim rule: what displaced owners wrote is no event.

    In order of time; within a partition in its order.
    """
    kinds = frozenset(kind or ())
    unknown = sorted(kinds - KINDS.keys())
    if unknown:
        raise UsageError(f"expected kinds of {', '.join(sorted(KINDS))}, but {unknown}")
    if instance_id is not None:
        checked_id(instance_id)
    wanted = EventFilter(
        instance_id=instance_id, kinds=kinds, since_ms=_since_ms(start)
    )
    if output is Format.JSON and follow:
        raise UsageError("expected an end for -o json, but --follow; use -o jsonl")
    printer = _Printer(output)
    in_session(
        backend,
        lambda session: _tail(session, wanted, start, printer, follow=follow),
    )
    printer.end()


class _Printer:
    def __init__(self, output: Format) -> None:
        self._output = output
        self._kept: list[dict[str, object]] = []
        self._console = data()

    def take(self, found: FoundEvent) -> None:
        match self._output:
            case Format.TABLE:
                self._console.print(line(found), soft_wrap=True)
            case Format.JSONL:
                write_line(to_json(shown(found)))
            case Format.JSON:
                self._kept.append(shown(found))

    def end(self) -> None:
        if self._output is Format.JSON:
            write_line(to_json(self._kept, indent=2))


def _since_ms(start: str) -> int:
    """The time that `-10m` means; 0 for other starts.

    Raises:
        UsageError: if it is no start at all.
    """
    if start == "earliest" or _PLACE.fullmatch(start):
        return 0
    if start.startswith("-"):
        try:
            ago_ms = duration_ms(start[1:])
        except (ValueError, TypeError) as error:
            raise UsageError(f"for --from: {error}") from error
        return int(time.time() * 1000) - ago_ms  # noqa: TID251 (a person's "ago")
    raise UsageError(f"expected --from earliest, -10m or P:OFFSET, but {start!r}")


async def _tail(
    session: Session,
    wanted: EventFilter,
    start: str,
    printer: _Printer,
    *,
    follow: bool,
) -> None:
    await session.open()
    sources = await _sources(session, wanted, start)
    try:
        async for found in merge_by_time(sources):
            printer.take(found)
        if follow:
            await asyncio.gather(*(_follow(source, printer) for source in sources))
    finally:
        for source in sources:
            await source.close()


async def _follow(source: ValidEvents, printer: _Printer) -> None:
    while True:
        for found in await source.read(max_wait_s=LOOK_S):
            printer.take(found)


async def _sources(
    session: Session, wanted: EventFilter, start: str
) -> list[ValidEvents]:
    log = session.log
    place = _PLACE.fullmatch(start)
    if place is not None:
        partition, offset = int(place[1]), int(place[2])
        if partition >= log.partitions:
            raise UsageError(
                f"expected a partition below {log.partitions}, but {partition}"
            )
        return [ValidEvents(log, partition, offset, wanted)]
    partitions = range(log.partitions)
    if wanted.instance_id is not None:
        home = partition_of_instance(log, wanted.instance_id)
        partitions = range(home, home + 1)
    return [
        ValidEvents(
            log,
            partition,
            await find_offset_before(log, partition, wanted.since_ms)
            if wanted.since_ms
            else 0,
            wanted,
        )
        for partition in partitions
    ]

"""`sayiir-es event tail`: the stream of events, valid ones only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.event_selection import Selection
from sayiir_es.cli.output import Format, OutputOption
from sayiir_es.cli.stdout import write_line
from sayiir_es.client.search import moment_ms
from sayiir_es.core.duration import duration_ms
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine.clock import SystemClock
from sayiir_es.operations.event_fields import fields_of
from sayiir_es.operations.text import to_json

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.engine.valid_events import FoundEvent

_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})")


def tail(  # noqa: PLR0913 (one parameter an option)
    *,
    instance_id: Annotated[
        str | None, typer.Option("--instance", help="Only of that instance.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only of that kind; repeatable.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="10m|TIME",
            help="Those from then on: so long ago, or ISO-8601.",
        ),
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="All, from the first one on.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="earliest|-10m|P:OFFSET",
            help="The same, or from an offset of a partition.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes.")
    ] = False,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print valid events, by the claim rule: what displaced owners wrote is no event.

    Prints what comes from now on, until Ctrl-C. With a place to begin: what there is
    from there on, by time, and with --follow what comes.
    """
    kinds = _checked_kinds(kind)
    if instance_id is not None:
        checked_id(instance_id)
    selection = _selection(instance_id, kinds, since, start, from_start=from_start)
    follow = follow or selection.from_now
    if output is Format.JSON and follow:
        raise UsageError(
            "expected an end for -o json, but events without end; use -o jsonl, or "
            "--from-start or --since without --follow"
        )
    printer = _Printer(output)

    async def work(session: Session) -> None:
        from sayiir_es.cli.event_reading import (  # noqa: PLC0415 (slow to import)
            read_events,
        )

        await read_events(session, selection, printer.take, follow=follow)

    in_session(url, work)
    printer.end()


def _selection(
    instance_id: str | None,
    kinds: frozenset[str],
    since: str | None,
    start: str | None,
    *,
    from_start: bool,
) -> Selection:
    """The events that the options select.

    Raises:
        UsageError: if it begins nowhere, or at more than one place.
    """
    begins = [since is not None, from_start, start is not None]
    if sum(begins) > 1:
        raise UsageError("expected one of --since, --from-start and --from, but more")
    place = None if start is None else _PLACE.fullmatch(start)
    return Selection(
        instance_id=instance_id,
        kinds=kinds,
        since_ms=0 if place is not None else _since_ms(since, start),
        place=None if place is None else (int(place[1]), int(place[2])),
        from_now=not any(begins),
    )


class _Printer:
    def __init__(self, output: Format) -> None:
        self._output = output
        self._events: list[dict[str, object]] = []

    def take(self, entry: FoundEvent) -> None:
        match self._output:
            case Format.TABLE:
                from sayiir_es.cli.event_lines import (  # noqa: PLC0415 (slow to import)
                    print_event,
                )

                print_event(entry)
            case Format.JSONL:
                write_line(to_json(fields_of(entry)))
            case Format.JSON:
                self._events.append(fields_of(entry))

    def end(self) -> None:
        if self._output is Format.JSON:
            write_line(to_json(self._events, indent=2))


def _checked_kinds(kinds: list[str] | None) -> frozenset[str]:
    """Kinds of events as typed.

    Raises:
        UsageError: if one is no kind of event.
    """
    if not kinds:
        return frozenset()
    from sayiir_es.wire.events import KINDS  # noqa: PLC0415 (slow to import)

    unknown = sorted(set(kinds) - KINDS.keys())
    if unknown:
        raise UsageError(f"expected kinds of {', '.join(sorted(KINDS))}, but {unknown}")
    return frozenset(kinds)


def _since_ms(since: str | None, start: str | None) -> int:
    """The time that `--since 10m` or `--from -10m` means; 0 for the earliest event.

    Raises:
        UsageError: if it is no start at all.
    """
    now_ms = SystemClock().now_ms()
    try:
        if since is not None:
            return moment_ms(since, now_ms=now_ms)
        if start is None or start == "earliest":
            return 0
        if start.startswith("-"):
            return now_ms - duration_ms(start[1:])
    except (ValueError, TypeError) as error:
        option = "--since" if start is None else "--from"
        raise UsageError(f"for {option}: {error}") from error
    raise UsageError(f"expected --from earliest, -10m or P:OFFSET, but {start!r}")

"""`sayiir-es instance state` and `instance diff`: its snapshot after any event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.instance.view import print_status
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    print_message,
    print_object,
    print_rows,
)
from sayiir_es.operations.event_fields import details_of, place_of
from sayiir_es.operations.text import format_time, is_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit.history import Change, History
    from sayiir_es.audit.snapshot import Snapshot
    from sayiir_es.client.session import Session

SECTIONS = ("values", "signals", "routes")
"""Of a snapshot beside its status and cursors, in this order."""

_CURSOR = ("chain", "at", "waits", "what")


def state(
    instance_id: IdArgument,
    *,
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            metavar="SEQ",
            min=0,
            help="Behind the event of that sequence; behind the last when left out.",
        ),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the snapshot of an instance as it was, folded from its events."""
    snapshot = _history(url, instance_id).state(at)
    if output is not Format.TABLE:
        print_object(snapshot.data(), output)
        return
    _print_status(snapshot, instance_id)
    if snapshot.cursors:
        _print_title("cursors")
        print_rows(_cursors(snapshot), _CURSOR, output)
    sections = snapshot.data()
    for name in SECTIONS:
        fields = sections[name]
        if isinstance(fields, dict) and fields:
            _print_title(name)
            print_object(cast("dict[str, object]", fields), output)


def diff(
    instance_id: IdArgument,
    before: Annotated[
        int, typer.Argument(metavar="SEQ", min=0, help="0 is before the first event.")
    ],
    after: Annotated[
        int | None,
        typer.Argument(metavar="[SEQ2]", min=0, help="The last when left out."),
    ] = None,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what differs between two snapshots of an instance, field by field."""
    print_changes(_history(url, instance_id).diff(before, after), output)


def print_changes(changes: Sequence[Change], output: Format) -> None:
    """Print what differs between two snapshots, a field a line."""
    convert = _for_people if output is Format.TABLE else _as_it_is
    rows = [
        {
            "field": one.field,
            "change": one.change,
            "before": convert(one.field, one.before),
            "after": convert(one.field, one.after),
        }
        for one in changes
    ]
    print_rows(rows, ("field", "change", "before", "after"), output)
    if not rows and output is Format.TABLE:
        print_message("no field differs")


def _history(url: str, instance_id: str) -> History:
    checked_id(instance_id)

    async def work(session: Session) -> History:
        from sayiir_es.audit.history import (  # noqa: PLC0415 (slow to import)
            read_history,
        )

        return await read_history(session, instance_id)

    return in_session(url, work)


def _print_status(snapshot: Snapshot, instance_id: str) -> None:
    if snapshot.status is None:
        print_object({"instance_id": instance_id}, Format.TABLE)
    else:
        print_status(snapshot.status, Format.TABLE)


def _print_title(section: str) -> None:
    from sayiir_es.cli.console import show_title  # noqa: PLC0415 (slow to import)

    show_title(section)


def _cursors(snapshot: Snapshot) -> list[dict[str, object]]:
    """The cursor of each chain, for people: a row each."""
    return [
        {
            "chain": chain or "(root)",
            "at": place_of(cursor),
            "waits": cursor["waits"],
            "what": details_of(
                {name: cursor[name] for name in cursor if name != "waits"}
            ),
        }
        for chain, cursor in snapshot.cursors.items()
    ]


def _for_people(field: str, value: object) -> object:
    """A value of that field: times as such, cursors as in events."""
    if isinstance(value, int) and is_time(field):
        return format_time(value)
    if field.startswith("cursors.") and value is not None:
        cursor = cast("dict[str, object]", value)
        return f"{place_of(cursor)} {details_of(cursor)}"
    return value


def _as_it_is(_field: str, value: object) -> object:
    return value

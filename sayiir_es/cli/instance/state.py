"""`sayiir-es instance state` and `instance diff`: what was true behind any event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.text import Text

from sayiir_es.audit.history import read_history
from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.event_lines import details_of, place_of
from sayiir_es.cli.instance.view import instance_view
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    data,
    is_time,
    moment,
    print_object,
    print_rows,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit.history import Change, History
    from sayiir_es.audit.snapshot import Snapshot

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
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the snapshot of an instance as it was, folded from its events."""
    snapshot = _history(backend, instance_id).state(at)
    if output is not Format.TABLE:
        print_object(snapshot.data(), output)
        return
    _print_status(snapshot, instance_id)
    if snapshot.cursors:
        _print_title("cursors")
        print_rows(_cursors(snapshot), _CURSOR, output)
    shown = snapshot.data()
    for section in SECTIONS:
        found = shown[section]
        if isinstance(found, dict) and found:
            _print_title(section)
            print_object(cast("dict[str, object]", found), output)


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
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what differs between two snapshots of an instance, field by field."""
    print_changes(_history(backend, instance_id).diff(before, after), output)


def print_changes(changes: Sequence[Change], output: Format) -> None:
    """Print what differs between two snapshots, a field a line."""
    tell = _for_people if output is Format.TABLE else _as_it_is
    rows = [
        {
            "field": one.field,
            "change": one.change,
            "before": tell(one.field, one.before),
            "after": tell(one.field, one.after),
        }
        for one in changes
    ]
    print_rows(rows, ("field", "change", "before", "after"), output)
    if not rows and output is Format.TABLE:
        say("no field differs")


def _history(backend: str, instance_id: str) -> History:
    checked_id(instance_id)
    return in_session(backend, lambda session: read_history(session, instance_id))


def _print_status(snapshot: Snapshot, instance_id: str) -> None:
    shown: dict[str, object] = {"instance_id": instance_id}
    if snapshot.status is not None:
        shown = instance_view(snapshot.status)
    print_object(shown, Format.TABLE)


def _print_title(section: str) -> None:
    data().print(Text(f"\n{section.upper()}", style="bold"))


def _cursors(snapshot: Snapshot) -> list[dict[str, object]]:
    """Where each chain stands, for people: a line each."""
    return [
        {
            "chain": chain or "(root)",
            "at": place_of(standing),
            "waits": standing["waits"],
            "what": details_of(
                {name: standing[name] for name in standing if name != "waits"}
            ),
        }
        for chain, standing in snapshot.cursors.items()
    ]


def _for_people(field: str, value: object) -> object:
    """A value of that field: times as such, cursors as in events."""
    if isinstance(value, int) and is_time(field):
        return moment(value)
    if field.startswith("cursors.") and value is not None:
        standing = cast("dict[str, object]", value)
        return f"{place_of(standing)} {details_of(standing)}"
    return value


def _as_it_is(_field: str, value: object) -> object:
    return value

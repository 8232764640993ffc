"""`sayiir-es instance state` and `instance diff`: what was true behind any event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
from sayiir_es.cli.instance_view import instance_view
from sayiir_es.cli.output import (
    Format,
    OutputOption,
    data,
    print_object,
    print_rows,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.audit.history import History
    from sayiir_es.audit.snapshot import Snapshot

SECTIONS = ("cursors", "values", "signals", "routes")
"""Of a snapshot beside its status, in this order."""


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
    shown = snapshot.data()
    for section in SECTIONS:
        found = shown[section]
        if found:
            data().print(Text(f"\n{section.upper()}", style="bold"))
            print_object(_told(section, found), output)


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
    changes = _history(backend, instance_id).diff(before, after)
    rows = [
        {"field": one.field, "before": one.before, "after": one.after}
        for one in changes
    ]
    print_rows(rows, ("field", "before", "after"), output)
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


def _told(section: str, found: object) -> Mapping[str, object]:
    assert isinstance(found, dict)
    if section != "cursors":
        return found
    return {chain or "(root)": standing for chain, standing in found.items()}

"""Events as people read them: a line each, and a table for a whole history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sayiir_es.cli.console import print_table, stdout_console
from sayiir_es.operations.event_fields import (
    details_of,
    fields_of,
    place_of,
    time_of_day,
)
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.engine.valid_events import FoundEvent

_STYLES = (
    ("WorkflowCompleted", "bold green"),
    ("TaskCompleted", "green"),
    ("Failed", "red"),
    ("Rejected", "red"),
    ("DeadLettered", "red"),
    ("Retry", "yellow"),
    ("Restarted", "yellow"),
    ("Withdrawn", "yellow"),
    ("TimedOut", "yellow"),
    ("Cancel", "yellow"),
    ("Pause", "yellow"),
    ("Signal", "magenta"),
    ("Delay", "blue"),
    ("Partition", "dim"),
)


def print_event(entry: FoundEvent) -> None:
    """Print an event as one line of data."""
    stdout_console().print(event_line(entry), soft_wrap=True)


def print_history(entries: Iterable[FoundEvent]) -> None:
    """Print the history of an instance as a table of data."""
    print_table(_history_table(entries))


def event_line(entry: FoundEvent) -> Text:
    """One event of the stream as one line."""
    fields = fields_of(entry)
    text = Text()
    text.append(f"{entry.partition}@{entry.offset:<7} ", style="dim")
    text.append(f"{time_of_day(fields['at'])}  ")
    text.append(f"{entry.event.kind:<18} ", style=_style_of(entry.event.kind))
    if entry.event.instance_id:
        text.append(f"{visible(entry.event.instance_id)} ", style="bold")
        text.append(f"{entry.event.sequence} ", style="dim")
    place = place_of(fields)
    if place:
        text.append(f"{visible(place)} ", style="cyan")
    text.append(details_of(fields))
    text.rstrip()
    return text


def _history_table(entries: Iterable[FoundEvent]) -> Table:
    """The history of an instance."""
    width = 24 if stdout_console().is_terminal else None  # a pipe gets no wrapping
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("TIME (UTC)", no_wrap=True)
    table.add_column("EVENT", no_wrap=True)
    table.add_column("AT", overflow="fold", style="cyan", max_width=width)
    table.add_column("WHAT", overflow="fold")
    for entry in entries:
        fields = fields_of(entry)
        table.add_row(
            str(entry.event.sequence or ""),
            time_of_day(fields["at"]),
            Text(entry.event.kind, style=_style_of(entry.event.kind)),
            Text(visible(place_of(fields))),
            Text(details_of(fields)),
        )
    return table


def _style_of(kind: str) -> str:
    """The colour of a kind."""
    return next((style for part, style in _STYLES if part in kind), "")

"""Events as people read them: a line each, and a table for a whole history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sayiir_es.cli.output import is_time, moment, to_json, visible
from sayiir_es.wire.event_json import event_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sayiir_es.client.valid_events import FoundEvent

_COMMON = frozenset(
    (
        *("kind", "partition", "offset", "instance_id", "run", "sequence", "at"),
        *("claim", "cause", "path", "attempt", "command_id", "graph_digest"),
    )
)
"""Fields with a place of their own, or of no use to people's eyes."""

VALUE_CHARACTERS = 48
"""How much of one field a line shows; JSON shows all."""

_PAYLOADS = frozenset(("input", "output", "value", "payload"))
"""Values of users: 0, false, "" and null are values, and say what flowed on."""

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


def shown(found: FoundEvent) -> dict[str, object]:
    """The event as one JSON object."""
    return event_to_json(found.event, partition=found.partition, offset=found.offset)


def style_of(kind: str) -> str:
    """The colour of a kind."""
    return next((style for part, style in _STYLES if part in kind), "")


def place_of(fields: Mapping[str, object]) -> str:
    """Path and attempt, as in a cause."""
    path, attempt = fields.get("path"), fields.get("attempt")
    if not isinstance(path, str):
        return ""
    return f"{path}#{attempt}" if isinstance(attempt, int) and attempt else path


def details_of(fields: Mapping[str, object]) -> str:
    """The kind's own fields, short."""
    parts: list[str] = []
    # An error's text begins with its type, as Python shows it.
    told = str(fields.get("error") or "").startswith(f"{fields.get('error_type')}:")
    today = _day(fields.get("at"))
    for name, value in fields.items():
        # Not `0 in (False,)`: the first iteration, and partition 0, are numbers.
        nothing = value is False or value in (None, "", "none", [], {})
        if nothing and name not in _PAYLOADS:
            continue
        if name in _COMMON or (name == "error_type" and told):
            continue
        if isinstance(value, int) and is_time(name):
            text = moment(value)
            if _day(value) == today:
                text = text.partition(" ")[2]
        elif value == "":
            text = '""'
        else:
            text = value if isinstance(value, str) else to_json(value)
        if name.endswith("_hash"):
            text = text[:12]
        parts.append(f"{name}={_short(visible(text))}")
    return " ".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def _day(at: object) -> str:
    return moment(at).partition(" ")[0] if isinstance(at, int) else ""


def _clock(at: object) -> str:
    return moment(at).partition(" ")[2].removesuffix("Z") if isinstance(at, int) else ""


def line(found: FoundEvent) -> Text:
    """One event of the stream as one line."""
    fields = shown(found)
    text = Text()
    text.append(f"{found.partition}@{found.offset:<7} ", style="dim")
    text.append(f"{_clock(fields['at'])}  ")
    text.append(f"{found.event.kind:<18} ", style=style_of(found.event.kind))
    if found.event.instance_id:
        text.append(f"{visible(found.event.instance_id)} ", style="bold")
        text.append(f"{found.event.sequence} ", style="dim")
    place = place_of(fields)
    if place:
        text.append(f"{visible(place)} ", style="cyan")
    text.append(details_of(fields))
    text.rstrip()
    return text


def history_table(history: Iterable[FoundEvent]) -> Table:
    """The history of an instance."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("TIME (UTC)", no_wrap=True)
    table.add_column("EVENT", no_wrap=True)
    table.add_column("AT", overflow="fold", style="cyan", max_width=24)
    table.add_column("WHAT", overflow="fold")
    for found in history:
        fields = shown(found)
        table.add_row(
            str(found.event.sequence or ""),
            _clock(fields["at"]),
            Text(found.event.kind, style=style_of(found.event.kind)),
            Text(visible(place_of(fields))),
            Text(details_of(fields)),
        )
    return table

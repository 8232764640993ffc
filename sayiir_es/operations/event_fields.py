"""The fields of an event as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sayiir_es.operations.text import format_time, is_time, to_json, visible
from sayiir_es.wire.event_json import event_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.engine.valid_events import FoundEvent

_COMMON = frozenset(
    (
        *("kind", "partition", "offset", "instance_id", "run", "sequence", "at"),
        *("claim", "cause", "path", "attempt", "command_id", "graph_digest"),
        *("error_class", "error_bases", "traceback"),
        *("secret", "parent_secret"),
    )
)
"""Fields with a place of their own, or of no use to people's eyes."""

VALUE_CHARACTERS = 48
"""How much of one field a line shows; JSON shows all."""

_PAYLOADS = frozenset(("input", "output", "value", "payload"))
"""Values of users: 0, false, "" and null are values like any other."""

_WITHOUT_INPUT = frozenset(
    ("SignalAwaited", "ChildInstanceRequested", "ChildInstanceEnded")
)
"""Kinds of event whose `input` is a reference that may be empty, or that need not have
a value."""


def fields_of(entry: FoundEvent) -> dict[str, object]:
    """The event as one JSON object."""
    return event_to_json(entry.event, partition=entry.partition, offset=entry.offset)


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
    has_type = str(fields.get("error") or "").startswith(f"{fields.get('error_type')}:")
    today = _day(fields.get("at"))
    for name, value in fields.items():
        # Not `0 in (False,)`: the first iteration, and partition 0, are numbers.
        is_empty = value is False or value in (None, "", "none", [], {})
        is_payload = name in _PAYLOADS and fields.get("kind") not in _WITHOUT_INPUT
        if is_empty and not is_payload and name != "undone":
            continue
        if name == "parent_run" and not value:  # there is no parent
            continue
        if name in _COMMON or (name == "error_type" and has_type):
            continue
        if isinstance(value, int) and is_time(name):
            text = format_time(value)
            if _day(value) == today:
                text = text.partition(" ")[2]
        elif value == "":
            text = '""'
        else:
            text = value if isinstance(value, str) else to_json(value)
        if name.endswith("_hash"):
            text = text[:12]
        elif name == "source_line":
            text = re.split(r"[/\\]", text)[-1]
        parts.append(f"{name}={_short(visible(text))}")
    return " ".join(parts)


def _short(text: str) -> str:
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def _day(at: object) -> str:
    return format_time(at).partition(" ")[0] if isinstance(at, int) else ""


def time_of_day(at: object) -> str:
    """The time of an event without its date."""
    return (
        format_time(at).partition(" ")[2].removesuffix("Z")
        if isinstance(at, int)
        else ""
    )

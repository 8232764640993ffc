"""What commands print: data on stdout in one of three formats, talk on stderr.

Everything that came from a user or from the log is made *visible* before it is printed:
a control character in an id, an error or a payload must not move the reader's cursor,
change the terminal's state or forge a line.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.telemetry import escaped
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLAIN_WIDTH = 100
"""Columns of a table that goes to a file or a pipe, unless `COLUMNS` says otherwise."""


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


OutputOption = Annotated[
    Format,
    typer.Option("--output", "-o", help="How to print the data on stdout."),
]


visible = escaped


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON that a terminal can show: readable letters, whatever does not print not."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return "\n".join(map(_printable, text.split("\n")))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def payload_value(data: bytes) -> object:
    """What payload bytes stand for; bytes that are no JSON as escaped text."""
    try:
        return decode_payload(data)
    except DecodeError:
        return {"text": data.decode("utf-8", "backslashreplace")}


def moment(at_ms: int) -> str:
    """A time for people: UTC, to the millisecond."""
    return instant(at_ms).replace("T", " ") if at_ms else ""


# --- where it goes --------------------------------------------------------------------


class ReaderGoneError(Exception):
    """Whoever read what is printed has left (`| head`)."""


class _PipeConsole(Console):
    def on_broken_pipe(self) -> None:
        """End the command, quietly."""
        raise ReaderGoneError


def _console(file: IO[str]) -> Console:
    width = None
    if not file.isatty():
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdecimal() and int(columns) else PLAIN_WIDTH
    return _PipeConsole(file=file, width=width, highlight=False)


def data() -> Console:
    """The console of stdout."""
    return _console(sys.stdout)


def talk() -> Console:
    """The console of stderr."""
    return _console(sys.stderr)


def say(text: str, style: str = "") -> None:
    """Tell the person at the terminal; never data."""
    talk().print(Text(visible(text), style=style), soft_wrap=True)


def write_line(text: str) -> None:
    """Write one line of data, at once: whoever reads a pipe is waiting."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error


# --- shapes ---------------------------------------------------------------------------


def print_object(shown: Mapping[str, object], form: Format) -> None:
    """Print one object: a table of names and values, or one JSON object."""
    if form is not Format.TABLE:
        write_line(to_json(shown, indent=2 if form is Format.JSON else None))
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in shown.items():
        if value not in (None, "", {}, []):
            table.add_row(Text(visible(name)), cell(name, value))
    data().print(table)


def print_rows(
    rows: Iterable[Mapping[str, object]], columns: Sequence[str], form: Format
) -> None:
    """Print objects: a table of some columns, a JSON array, or a line each."""
    if form is Format.JSONL:
        for row in rows:
            write_line(to_json(row))
        return
    if form is Format.JSON:
        write_line(to_json(list(rows), indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name.upper().replace("_", " "), overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(cell(name, row.get(name)) for name in columns))
        count += 1
    if count:
        data().print(table)


STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "quarantined": "red",
    "in_progress": "cyan",
    "waiting": "blue",
    "awaiting_signal": "magenta",
    "✓": "green",
    "✗": "red",
    "!": "yellow",
}


def cell(name: str, value: object) -> Text:
    """A value as it stands in a table."""
    if value is None:
        return Text("")
    if isinstance(value, str):
        return Text(visible(value), style=STYLES.get(value, ""))
    if isinstance(value, int) and not isinstance(value, bool) and is_time(name):
        return Text(moment(value))
    return Text(to_json(value))


def is_time(name: str) -> bool:
    """Whether a field of that name holds epoch milliseconds."""
    return name == "at" or name.endswith("_at")

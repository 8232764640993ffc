"""What a terminal shows: tables on stdout, messages on stderr, drawn by rich.

Rich takes a while to import, so this module is imported when something is printed.
"""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sayiir_es.cli.stdout import ReaderGoneError
from sayiir_es.cli.text import format_time, is_time, to_json, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLAIN_WIDTH = 100
"""Columns of a table that goes to a file or a pipe, unless `COLUMNS` says otherwise."""

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
"""Of a cell that holds this word."""


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


def stdout_console() -> Console:
    """The console of stdout, for data."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """The console of stderr, for messages."""
    return _console(sys.stderr)


def show_message(text: str, style: str) -> None:
    """Print a message of our own on stderr."""
    stderr_console().print(Text(visible(text), style=style), soft_wrap=True)


def show_error(code: str, rejection: str, message: str) -> None:
    """Print on stderr what went wrong, its code, and where to read on."""
    text = Text.assemble(
        ("error", "bold red"),
        (f" {code}{rejection}", "bold"),
        f": {visible(message)}\n",
        (f"see docs/errors/{code}.md", "dim"),
    )
    stderr_console().print(text, soft_wrap=True)


def show_title(text: str) -> None:
    """Print the title of a part of what is shown on stdout."""
    stdout_console().print(Text(f"\n{text.upper()}", style="bold"))


def show_object(fields: Mapping[str, object]) -> None:
    """Print an object as a table of names and values; empty values are left out."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", {}, []):
            table.add_row(Text(visible(name)), _cell(name, value))
    stdout_console().print(table)


def show_rows(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print some columns of objects as a table; nothing where there is no object."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name.upper().replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)) for name in columns))
    if table.row_count:
        stdout_console().print(table)


def _cell(name: str, value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, str):
        return Text(visible(value), style=STYLES.get(value, ""))
    if isinstance(value, int) and not isinstance(value, bool) and is_time(name):
        return Text(format_time(value))
    return Text(to_json(value))

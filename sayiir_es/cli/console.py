"""What a terminal shows: tables on stdout, messages on stderr, drawn by rich.

Rich takes a while to import, so this module is imported when something is printed.
"""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sayiir_es.cli.stdout import ReaderGoneError
from sayiir_es.operations.text import format_time, is_time, to_json, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PIPE_WIDTH = 1_000_000
"""Columns of what goes to a file or a pipe: nothing is wrapped for a program."""

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
    width = None if file.isatty() else PIPE_WIDTH
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
        (f"see `sayiir-es error {code}`", "dim"),
    )
    stderr_console().print(text, soft_wrap=True)


def show_markdown(text: str) -> None:
    """Print a page of the manual on stdout."""
    from rich.markdown import Markdown  # noqa: PLC0415 (slow to import)

    stdout_console().print(Markdown(text, hyperlinks=False))


def show_title(text: str) -> None:
    """Print the title of a part of what is shown on stdout."""
    stdout_console().print(Text(f"\n{text.upper()}", style="bold"))


def show_object(fields: Mapping[str, object]) -> None:
    """Print an object as a table of names and values; empty values are left out."""
    shown = {
        name: _cell(name, value)
        for name, value in fields.items()
        if value not in (None, "", {}, [])
    }
    ids = [cell for name, cell in shown.items() if _is_id(name)]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold", min_width=_width_of(ids))
    for name, cell in shown.items():
        table.add_row(Text(visible(name)), cell)
    print_table(table)


def show_rows(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print some columns of objects as a table; nothing where there is no object."""
    cells = [[_cell(name, row.get(name)) for name in columns] for row in rows]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, column in zip(columns, zip(*cells, strict=True), strict=False):
        width = _width_of(column) if _is_id(name) else None
        header = name.upper().replace("_", " ")
        table.add_column(header, overflow="fold", min_width=width)
    for row_cells in cells:
        table.add_row(*row_cells)
    if table.row_count:
        print_table(table)


def print_table(table: Table) -> None:
    """Print a table on stdout; a terminal breaks lines that are wider than it is."""
    stdout_console().print(table, crop=False)


def _is_id(name: str) -> bool:
    """Whether a field of that name holds what is copied, and must stay in one piece."""
    return name in ("id", "instance") or name.endswith("_id")


def _width_of(cells: Iterable[Text]) -> int:
    return max((cell.cell_len for cell in cells), default=0)


def _cell(name: str, value: object) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, str):
        return Text(visible(value), style=STYLES.get(value, ""))
    if isinstance(value, int) and not isinstance(value, bool) and is_time(name):
        return Text(format_time(value))
    return Text(to_json(value))

"""What commands print: data on stdout in one of three formats, messages on stderr."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.environment import is_json_wanted, write_json_message
from sayiir_es.cli.stdout import write_line
from sayiir_es.operations.text import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


OutputOption = Annotated[
    Format,
    typer.Option("--output", "-o", help="How to print the data on stdout."),
]


def print_message(text: str, style: str = "") -> None:
    """Print a message to the person at the terminal, on stderr; never data."""
    if is_json_wanted():
        if text:
            write_json_message("message.printed", reason=text)
        return
    from sayiir_es.cli.console import show_message  # noqa: PLC0415 (slow to import)

    show_message(text, style)


def print_object(fields: Mapping[str, object], output: Format) -> None:
    """Print one object: a table of names and values, or one JSON object."""
    if output is not Format.TABLE:
        write_line(to_json(fields, indent=2 if output is Format.JSON else None))
        return
    from sayiir_es.cli.console import show_object  # noqa: PLC0415 (slow to import)

    show_object(fields)


def print_rows(
    rows: Iterable[Mapping[str, object]], columns: Sequence[str], output: Format
) -> None:
    """Print objects: a table of some columns, a JSON array, or a line each."""
    match output:
        case Format.JSONL:
            for row in rows:
                write_line(to_json(row))
        case Format.JSON:
            write_line(to_json(list(rows), indent=2))
        case Format.TABLE:
            from sayiir_es.cli.console import (  # noqa: PLC0415 (slow to import)
                show_rows,
            )

            show_rows(rows, columns)

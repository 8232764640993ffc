"""`sayiir-es audit export` and `audit import`: whole logs as files, and back."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sayiir_es.audit.export.export import export_log, file_sha256
from sayiir_es.audit.export.import_export import import_into
from sayiir_es.audit.export.manifest import MANIFEST, ExportFormat
from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import Format, OutputOption, print_rows, say, talk

if TYPE_CHECKING:
    from collections.abc import Generator

    from sayiir_es.audit.export.manifest import Manifest
    from sayiir_es.audit.verify.log import Progress as Heard

COLUMNS = ("topic", "partition", "start", "end", "records")
"""Of the table; the digests are for -o json."""


def export(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The directory to make.")
    ],
    *,
    file_format: Annotated[
        ExportFormat,
        typer.Option("--format", help="Of the files; parquet needs pyarrow."),
    ] = ExportFormat.AVRO,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Write every record of a log into a directory, with chains that prove them.

    Whole or not at all. Workers may go on meanwhile.
    """
    used = open_backend(backend)
    try:
        with progress_bar("exporting") as heard:
            log = used.open_log()
            manifest = asyncio.run(export_log(log, path, file_format, heard))
    finally:
        used.close()
    _print(manifest, output)
    say(f"{manifest.records} records exported", "bold green")
    say(f"sha256 of {MANIFEST}: {file_sha256(path / MANIFEST)}")


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The directory of an export.")
    ],
    *,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Write an export into an empty log: the same records at the same offsets.

    The export is verified by its chains before anything is written.
    """
    used = open_backend(backend)
    try:
        with progress_bar("importing") as heard:
            manifest = asyncio.run(import_into(used.open_log(), path, heard))
    finally:
        used.close()
    _print(manifest, output)
    say(f"{manifest.records} records imported", "bold green")


def _print(manifest: Manifest, output: Format) -> None:
    rows = [
        {
            "topic": entry.place.topic.value,
            "partition": entry.place.partition,
            "start": entry.start,
            "end": entry.end,
            "records": entry.records,
            "chain": entry.chain,
        }
        for entry in manifest.files
    ]
    print_rows(rows, COLUMNS, output)


@contextmanager
def progress_bar(doing: str) -> Generator[Heard]:
    """A bar on stderr while something goes on; none where that is no terminal."""
    bar = Progress(
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} records"),
        TimeRemainingColumn(),
        console=talk(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(doing, total=None)

        def heard(done: int, total: int, /) -> None:
            bar.update(task, completed=done, total=total)

        yield heard

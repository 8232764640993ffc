"""`sayiir-es audit export` and `audit import`: whole logs as files, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import Format, OutputOption, print_message, print_rows

if TYPE_CHECKING:
    from sayiir_es.audit.export.manifest import Manifest

FileFormat: TypeAlias = Literal["avro", "jsonl", "parquet"]
"""`ExportFormat`, which is slow to import."""

COLUMNS = ("topic", "partition", "start", "end", "records")
"""Of the table; the digests are for -o json."""


def export(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The directory to make.")
    ],
    *,
    file_format: Annotated[
        FileFormat,
        typer.Option("--format", help="Of the files; parquet needs pyarrow."),
    ] = "avro",
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Write every record of a log into a directory, with chains that prove them.

    Whole or not at all. Workers may go on meanwhile.
    """
    backend = open_backend(url)
    from sayiir_es.audit.export.export import (  # noqa: PLC0415 (slow to import)
        export_log,
        file_sha256,
    )
    from sayiir_es.audit.export.formats import (  # noqa: PLC0415 (slow to import)
        ExportFormat,
    )
    from sayiir_es.audit.export.manifest import (  # noqa: PLC0415 (slow to import)
        MANIFEST,
    )
    from sayiir_es.cli.progress import progress_bar  # noqa: PLC0415 (slow to import)

    try:
        with progress_bar("exporting") as progress:
            log = backend.open_log()
            manifest = asyncio.run(
                export_log(log, path, ExportFormat(file_format), progress)
            )
    finally:
        backend.close()
    _print(manifest, output)
    print_message(f"{manifest.records} records exported", "bold green")
    print_message(f"sha256 of {MANIFEST}: {file_sha256(path / MANIFEST)}")


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The directory of an export.")
    ],
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Write an export into an empty log: the same records at the same offsets.

    The export is verified by its chains before anything is written.
    """
    backend = open_backend(url)
    from sayiir_es.audit.export.import_export import (  # noqa: PLC0415 (slow to import)
        import_into,
    )
    from sayiir_es.cli.progress import progress_bar  # noqa: PLC0415 (slow to import)

    try:
        with progress_bar("importing") as progress:
            manifest = asyncio.run(import_into(backend.open_log(), path, progress))
    finally:
        backend.close()
    _print(manifest, output)
    print_message(f"{manifest.records} records imported", "bold green")


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

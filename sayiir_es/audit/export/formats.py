"""The formats of an export's files, by name, and what each can do."""

from __future__ import annotations

from enum import StrEnum
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.audit.export.places import Place
    from sayiir_es.log.port import Record


class ExportFormat(StrEnum):
    """How the records are written; the value is the ending of the files' names."""

    AVRO = "avro"
    JSONL = "jsonl"
    PARQUET = "parquet"


class FileWriter(Protocol):
    """Writes the records of one partition to one file."""

    def write(self, record: Record) -> None:
        """Write the next record."""
        ...

    def close(self) -> None:
        """Write what is held back."""
        ...


class FileFormat(Protocol):
    """A format of files."""

    def writer(self, file: IO[bytes], place: Place) -> FileWriter:
        """A writer to an open file; the same records give the same bytes."""
        ...

    def rows(self, path: Path) -> Iterator[tuple[Record, object]]:
        """Each record, and what is shown of it beside its bytes.

        Raises what its library raises for what is no such file.
        """
        ...

    def fields_of(self, place: Place, record: Record) -> object:
        """What a file of this build shows of a record, to compare with `rows`."""
        ...

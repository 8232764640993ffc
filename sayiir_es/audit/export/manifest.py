"""What an export is: its files, its manifest, and the chain over the records of each.

Theory of operation. An export is a directory: one file of records for each partition of
each exported topic, beside it a file of its chain, and `manifest.json`. The chain is a
running SHA-256: each record's digest covers all that stands before it, so the last one,
which the manifest holds, covers the file. The chain file notes offset and digest of
every record; by it the first record that is not what was exported is named. Nothing in
an export depends on when or where it was made: the same records give the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.audit.export.places import Place, places
from sayiir_es.audit.export.record_chain import FORMAT, VERSION
from sayiir_es.core.json_fields import LONG_MAX
from sayiir_es.core.model.errors import DecodeError, UsageError
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from pathlib import Path

PARTITIONER = "murmur2"
MANIFEST = "manifest.json"
PARTITIONS_MAX = 10_000
"""How many partitions a manifest may name: some times what a cluster is run with."""

MANIFEST_BYTES_MAX = 32_000_000
"""How many bytes of a manifest are read: a file's entry takes some 350, and there are
four files for each partition."""

_NO_MANIFEST = (KeyError, TypeError, ValueError, AttributeError)
PARTIAL = ".partial"
"""Ends the name of a directory that is being written: never a whole export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """The entry of one file in the manifest.

    Attributes:
        start: The first offset that the log had kept.
        end: One above the last offset that was exported, or passed as a gap.
        records: How many records the file holds.
        chain: The last digest of the chain, in hex.
        sha256: Of the file's bytes, in hex: decoded fields are covered by it, too.
    """

    place: Place
    start: int
    end: int
    records: int
    chain: str
    sha256: str

    @property
    def has_gaps(self) -> bool:
        """Whether some offset from 0 to the end has no record."""
        return self.start != 0 or self.records != self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `manifest.json` holds."""

    file_format: ExportFormat
    partitions: int
    files: tuple[FileEntry, ...]

    @property
    def records(self) -> int:
        """How many records all files hold."""
        return sum(entry.records for entry in self.files)

    def entry(self, topic: Topic, partition: int) -> FileEntry:
        """The file of a partition."""
        place = Place(topic=topic, partition=partition)
        return next(entry for entry in self.files if entry.place == place)

    def path(self, folder: Path, entry: FileEntry) -> Path:
        """Where the records of a file are."""
        return folder / f"{entry.place.stem}.{self.file_format.value}"


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as it is written."""
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "files_are": manifest.file_format.value,
        "partitioner": PARTITIONER,
        "partitions": manifest.partitions,
        "files": [
            {
                "topic": entry.place.topic.value,
                "partition": entry.place.partition,
                "start": entry.start,
                "end": entry.end,
                "records": entry.records,
                "chain": entry.chain,
                "sha256": entry.sha256,
            }
            for entry in manifest.files
        ],
    }
    return json.dumps(fields, indent=2).encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an export.

    Raises:
        UsageError: if there is no whole export.
        DecodeError: if the manifest is none, or of another version.
    """
    path = folder / MANIFEST
    if folder.name.endswith(PARTIAL) or not path.is_file():
        raise UsageError(
            f"expected a whole export in {str(folder)!r}, but it has no manifest"
        )
    try:
        fields = cast("dict[str, object]", json.loads(_read_bounded(path)))
        kind = (fields["format"], fields["version"], fields["partitioner"])
        if kind != (FORMAT, VERSION, PARTITIONER):
            raise DecodeError(
                f"expected {FORMAT!r} of version {VERSION} by {PARTITIONER!r} in "
                f"{str(path)!r}, but {kind!r}"
            )
        partitions = _number(fields["partitions"], PARTITIONS_MAX)
        entries = cast("list[dict[str, object]]", fields["files"])
        manifest = Manifest(
            file_format=ExportFormat(str(fields["files_are"])),
            partitions=partitions,
            files=tuple(map(_entry, entries)),
        )
    except (*_NO_MANIFEST, RecursionError) as error:
        raise DecodeError(
            f"expected a manifest in {str(path)!r}, but {error!r}"
        ) from error
    if [entry.place for entry in manifest.files] != places(partitions):
        raise DecodeError(
            f"expected the files of {partitions} partitions in {str(path)!r}, but "
            f"{[entry.place.stem for entry in manifest.files]}"
        )
    return manifest


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MANIFEST_BYTES_MAX + 1)
    if len(data) > MANIFEST_BYTES_MAX:
        raise ValueError(f"expected at most {MANIFEST_BYTES_MAX} bytes, but more")
    return data


def _entry(fields: dict[str, object]) -> FileEntry:
    place = Place(topic=Topic(fields["topic"]), partition=_number(fields["partition"]))
    return FileEntry(
        place=place,
        start=_number(fields["start"]),
        end=_number(fields["end"]),
        records=_number(fields["records"]),
        chain=str(fields["chain"]),
        sha256=str(fields["sha256"]),
    )


def _number(value: object, most: int = LONG_MAX) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"expected a count of at most {most}, but another value")
    return value

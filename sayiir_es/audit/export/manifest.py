"""What an export is: its files, its manifest, and the chain over the records of each.

Theory of operation. An export is a directory: one file of records for each partition of
each exported topic, beside it a file of its chain, and `manifest.json`. The chain is a
running SHA-256: each record's digest covers all that stands before it, so the last one,
which the manifest holds, covers the file. The chain file notes offset and digest of
every record; by it the first record that is not what was exported is named. Nothing in
an export depends on when or where it was made: the same records give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from sayiir_es.core.model.errors import DecodeError, UsageError
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.log.port import Record

FORMAT = "sayiir-es export"
VERSION = 1
PARTITIONER = "murmur2"
MANIFEST = "manifest.json"
PARTIAL = ".partial"
"""Ends the name of a directory that is being written: never a whole export."""

TOPICS = (Topic.EVENTS, Topic.DEAD_LETTERS, Topic.COMMANDS, Topic.DEFINITIONS)
"""What is exported, in the order in which the ends are asked for: what an event names
was written before it, so it stands below an end that is asked for later."""

_NOTE = struct.Struct(">q32s")
_LENGTHS = struct.Struct(">qqqqq")
_PAIR = struct.Struct(">qq")


class ExportFormat(StrEnum):
    """How the records are written; the value is the ending of the files' names."""

    AVRO = "avro"
    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A partition of a topic."""

    topic: Topic
    partition: int

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return f"{self.topic.value}-{self.partition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What the manifest says of one file.

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
        wanted = Place(topic=topic, partition=partition)
        return next(entry for entry in self.files if entry.place == wanted)

    def path(self, folder: Path, entry: FileEntry) -> Path:
        """Where the records of a file are."""
        return folder / f"{entry.place.stem}.{self.file_format.value}"


def places(partitions: int) -> list[Place]:
    """Every partition that an export of so many holds."""
    return [
        Place(topic=topic, partition=partition)
        for topic in TOPICS
        for partition in range(1 if topic is Topic.DEFINITIONS else partitions)
    ]


def chain_path(folder: Path, place: Place) -> Path:
    """Where the chain of a partition is."""
    return folder / f"{place.stem}.chain"


# --- the chain ------------------------------------------------------------------------


class RecordChain:
    """The running SHA-256 over the records of one partition."""

    def __init__(self, place: Place) -> None:
        seed = f"{FORMAT} {VERSION}\n{place.stem}\n".encode()
        self.digest = hashlib.sha256(seed).digest()

    def add(self, record: Record) -> bytes:
        """Take the next record and return the digest of all so far."""
        key, value, headers = record.key, record.value, record.headers
        # Each part behind its length (-1: null), so that no two records read alike.
        parts = [
            self.digest,
            _LENGTHS.pack(
                record.offset,
                record.timestamp_ms,
                -1 if key is None else len(key),
                -1 if value is None else len(value),
                len(headers),
            ),
            key or b"",
            value or b"",
        ]
        for name, content in headers:
            text = name.encode("utf-8", "surrogatepass")
            parts += (_PAIR.pack(len(text), len(content)), text, content)
        self.digest = hashlib.sha256(b"".join(parts)).digest()
        return self.digest

    def note(self, record: Record) -> bytes:
        """Take the next record and return what the chain file notes of it."""
        return _NOTE.pack(record.offset, self.add(record))


def notes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and digest of each record that a chain file notes."""
    with path.open("rb") as file:
        while len(data := file.read(_NOTE.size)) == _NOTE.size:
            offset, digest = _NOTE.unpack(data)
            yield offset, digest


# --- the manifest's bytes -------------------------------------------------------------


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as it is written."""
    shown = {
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
    return json.dumps(shown, indent=2).encode() + b"\n"


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
        given = cast("dict[str, object]", json.loads(path.read_bytes()))
        kind = (given["format"], given["version"], given["partitioner"])
        if kind != (FORMAT, VERSION, PARTITIONER):
            raise DecodeError(
                f"expected {FORMAT!r} of version {VERSION} by {PARTITIONER!r} in "
                f"{str(path)!r}, but {kind!r}"
            )
        partitions = _number(given["partitions"])
        entries = cast("list[dict[str, object]]", given["files"])
        found = Manifest(
            file_format=ExportFormat(str(given["files_are"])),
            partitions=partitions,
            files=tuple(map(_entry, entries)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(
            f"expected a manifest in {str(path)!r}, but {error!r}"
        ) from error
    if [entry.place for entry in found.files] != places(partitions):
        raise DecodeError(
            f"expected the files of {partitions} partitions in {str(path)!r}, but "
            f"{[entry.place.stem for entry in found.files]}"
        )
    return found


def _entry(given: dict[str, object]) -> FileEntry:
    place = Place(topic=Topic(given["topic"]), partition=_number(given["partition"]))
    return FileEntry(
        place=place,
        start=_number(given["start"]),
        end=_number(given["end"]),
        records=_number(given["records"]),
        chain=str(given["chain"]),
        sha256=str(given["sha256"]),
    )


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a count, but {value!r}")
    return value

"""Histories from files that people hand in: exports, and what `history -o jsonl` wrote.

Theory of operation. A file says itself what it is: Avro's object container files by
their first bytes, JSON by its lines. A line is an event as the command line prints it,
or a record of an export, whose bytes are decoded as those of a log are. Of an export's
records those count that the claim rule makes valid, as everywhere. Nothing of a file is
believed beyond what it can be checked for here: who wants proof runs `audit verify`.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sayiir_es.audit.export.checking import DAMAGE
from sayiir_es.audit.export.files import AvroFiles, record_of_line
from sayiir_es.audit.history import History
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.core.model.errors import DecodeError, HistoryError, UsageError
from sayiir_es.engine.valid_events import FoundEvent, found_event
from sayiir_es.operations.avro_limits import check_avro_file
from sayiir_es.wire.event_parsing import event_from_json
from sayiir_es.wire.events import decode_event, read_headers
from sayiir_es.wire.schema import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.log.port import Record

BYTES_MAX = 64 * 1024 * 1024
"""Of all files together: a history of 100,000 events of ordinary size is a half."""

UNPACKED_MAX = 4 * BYTES_MAX
"""Of one Avro file, when its blocks are unpacked."""

EVENTS_MAX = 300_000

AVRO_MAGIC = b"Obj\x01"
PARQUET_MAGIC = b"PAR1"

EXPECTED = (
    "an export's file (JSON lines or Avro), or what `instance history -o jsonl` printed"
)
_WITHOUT_EVENTS = re.compile(r"manifest\.json|.*\.chain|commands-\d+\..*|dead-.*")
"""Names of other files of an export: handed in with it, and not needed here."""

_PARTITION = re.compile(r"events-(\d{1,9})\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFile:
    """A file as it was handed in."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What files hold: the history of every instance, by its id.

    `graphs` says how many workflows are in them, `passed` which of them hold no events.
    """

    histories: Mapping[str, History]
    graphs: int = 0
    passed: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """How many events there are."""
        return sum(len(history.events) for history in self.histories.values())


@dataclass(slots=True)
class _Reading:
    events: dict[tuple[int, int, int], FoundEvent] = field(
        default_factory=dict[tuple[int, int, int], FoundEvent]
    )
    graphs: dict[str, Graph] = field(default_factory=dict[str, "Graph"])

    def add(self, entry: FoundEvent) -> None:
        if len(self.events) >= EVENTS_MAX:
            raise UsageError(
                f"expected at most {EVENTS_MAX:,} events, but there are more: hand in "
                "the history of one instance"
            )
        key = (entry.partition, entry.offset, entry.event.sequence)
        self.events[key] = entry


def read_files(files: Sequence[ImportedFile]) -> Imported:
    """The histories that files hold.

    Raises:
        UsageError: if there are no events in them, or too many.
        DecodeError: if one is none that can be read; says which, where and why.
    """
    size = sum(len(file.data) for file in files)
    if size > BYTES_MAX:
        raise UsageError(
            f"expected at most {BYTES_MAX:,} bytes of files, but {size:,}: hand in the "
            "history of one instance"
        )
    reading = _Reading()
    passed: list[str] = []
    for file in files:
        if _WITHOUT_EVENTS.fullmatch(file.name):
            passed.append(file.name)
        elif file.data.strip():
            _read_file(file, reading)
    if not reading.events:
        names = ", ".join(repr(file.name) for file in files) or "no file"
        raise UsageError(f"expected {EXPECTED}, but {names} without any event")
    return Imported(
        histories=_histories(reading),
        graphs=len(reading.graphs),
        passed=tuple(passed),
    )


def _histories(reading: _Reading) -> dict[str, History]:
    by_id: dict[str, list[FoundEvent]] = {}
    for _, entry in sorted(reading.events.items()):
        if entry.event.instance_id:
            by_id.setdefault(entry.event.instance_id, []).append(entry)
    return {
        instance_id: History(
            instance_id=instance_id, events=tuple(entries), graphs=reading.graphs
        )
        for instance_id, entries in by_id.items()
    }


def _read_file(file: ImportedFile, reading: _Reading) -> None:
    if file.data.startswith(AVRO_MAGIC):
        check_avro_file(file.data, file.name, unpacked_max=UNPACKED_MAX)
        _read_records(file, _avro_records(file), reading)
        return
    if file.data.startswith(PARQUET_MAGIC):
        raise DecodeError(
            f"expected {EXPECTED}, but {file.name!r} is Parquet: export with --format "
            "avro or jsonl"
        )
    objects = list(_objects(file))
    if objects and "value_base64" in objects[0][1]:
        records = (_record(where, data) for where, data in objects)
        _read_records(file, records, reading)
        return
    for number, (where, data) in enumerate(objects):
        event = event_from_json(data, where)
        partition, offset = data.get("partition"), data.get("offset")
        entry = FoundEvent(
            partition=partition if isinstance(partition, int) else 0,
            offset=offset if isinstance(offset, int) else number,
            event=event,
        )
        reading.add(entry)


# --- JSON -----------------------------------------------------------------------------


def _objects(file: ImportedFile) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects of lines, or of one list, each with where it stands."""
    try:
        text = file.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"expected {EXPECTED}, but {file.name!r} is no text: byte {error.start} is "
            f"{file.data[error.start]:#04x}"
        ) from error
    if text.lstrip().startswith("["):
        items = _parsed(text, f"{file.name!r}")
        for number, item in enumerate(cast("list[object]", items), 1):
            yield _object(item, f"item {number} of {file.name!r}")
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            where = f"line {number} of {file.name!r}"
            yield _object(_parsed(line, where), where)


def _parsed(text: str, where: str) -> object:
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"expected JSON at {where}, but {error}") from error


def _object(item: object, where: str) -> tuple[str, dict[str, object]]:
    if not isinstance(item, dict):
        seen = f"a {type(item).__name__}"
        raise DecodeError(f"expected an event or record at {where}, but {seen}")
    return where, cast("dict[str, object]", item)


# --- records of exports ---------------------------------------------------------------


def _record(where: str, data: dict[str, object]) -> Record:
    try:
        return record_of_line(data)
    except (KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DecodeError(
            f"expected a record of an export at {where}, but {what}"
        ) from error


def _avro_records(file: ImportedFile) -> Iterator[Record]:
    with tempfile.TemporaryDirectory(prefix="sayiir-import-") as folder:
        path = Path(folder) / "file.avro"
        path.write_bytes(file.data)
        rows = AvroFiles().rows(path)
        while True:
            try:
                row = next(rows, None)
            except DAMAGE as error:
                raise DecodeError(
                    f"expected an export's Avro file, but {file.name!r} is none or is "
                    f"damaged: {type(error).__name__}: {error}"
                ) from error
            if row is None:
                return
            yield row[0]


def _read_records(
    file: ImportedFile, records: Iterable[Record], reading: _Reading
) -> None:
    named = _PARTITION.match(file.name)
    partition = int(named[1]) if named else 0
    claim: int | None = None
    for record in records:
        value = record.value or b""
        headers = read_headers(record.headers)
        if headers is None or not value.startswith(MAGIC):
            _read_definition(file, record, reading)
            continue
        if headers.kind == "PartitionClaimed":
            claim = record.offset
        elif claim is None:
            claim = headers.claim  # the file begins in the middle
        elif headers.claim != claim:
            continue  # of an owner that was displaced
        try:
            event = decode_event(value)
        except (DecodeError, HistoryError) as error:
            raise DecodeError(
                f"expected an event at offset {record.offset} of {file.name!r}, but "
                f"{error}"
            ) from error
        reading.add(found_event(partition, record, event))


def _read_definition(file: ImportedFile, record: Record, reading: _Reading) -> None:
    if record.key == b"app" or not record.value:
        return  # what the topics of an app are, or a definition that was removed
    try:
        graph = graph_of_record(record.value)
    except DecodeError as error:
        raise DecodeError(
            f"expected an event or a definition at offset {record.offset} of "
            f"{file.name!r}, but {error}"
        ) from error
    reading.graphs[graph.digest] = graph

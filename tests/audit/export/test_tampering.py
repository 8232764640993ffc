"""Who changes, drops, adds or swaps a record of an export is found, at its place."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit import export, import_export, verify_export
from sayiir_es.audit.export.checking import ExportFiles
from sayiir_es.audit.export.export import file_sha256
from sayiir_es.audit.export.files import file_format_of
from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.audit.export.manifest import (
    MANIFEST,
    MANIFEST_BYTES_MAX,
    FileEntry,
    Manifest,
    manifest_bytes,
)
from sayiir_es.audit.export.record_chain import RecordChain, chain_path
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.log.port import Topic
from tests.audit.export.export_logs import make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es.log.port import Record

    Edit = Callable[[list[Record]], None]


class Exported:
    """An export to tamper with."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def file(self, topic: Topic) -> Path:
        """The file of a topic."""
        return self.manifest.path(self.folder, self.manifest.entry(topic, 0))

    def edit(self, topic: Topic, edit: Edit, *, chain: bool = False) -> FileEntry:
        """Write a file anew with other records, and if so its chain; what they say."""
        entry = self.manifest.entry(topic, 0)
        records = list(ExportFiles(self.folder, self.manifest).records(entry))
        edit(records)
        path, record_chain = self.file(topic), RecordChain(entry.place)
        with path.open("wb") as file:
            files = file_format_of(self.manifest.file_format)
            writer = files.writer(file, entry.place)
            for record in records:
                writer.write(record)
            writer.close()
        notes = b"".join(map(record_chain.note, records))
        if chain:
            chain_path(self.folder, entry.place).write_bytes(notes)
        return replace(
            entry,
            records=len(records),
            chain=record_chain.digest.hex(),
            sha256=file_sha256(path),
        )

    def found(self) -> tuple[str, int, int]:
        """The first violation, without its words."""
        first = verify_export(self.folder).violations[0]
        return first.invariant, first.partition, first.offset


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A log with every kind of record."""
    return make_log(tmp_path_factory.mktemp("make_log"))


@pytest.fixture(params=list(ExportFormat))
def exported(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Exported:
    """An export of it in each format."""
    manifest = export(url, tmp_path / "out", file_format=request.param)
    return Exported(tmp_path / "out", manifest)


@pytest.fixture
def lines(url: str, tmp_path: Path) -> Exported:
    """An export of it in JSON lines."""
    manifest = export(url, tmp_path / "out", file_format=ExportFormat.JSONL)
    return Exported(tmp_path / "out", manifest)


# --- edits of the record at an offset -------------------------------------------------


def drop(at: int) -> Edit:
    def edit(records: list[Record]) -> None:
        del records[at]

    return edit


def repeat(at: int) -> Edit:
    return lambda records: records.insert(at, records[at])


def swap(at: int) -> Edit:
    def edit(records: list[Record]) -> None:
        records[at], records[at + 1] = records[at + 1], records[at]

    return edit


def swap_contents(at: int) -> Edit:
    def edit(records: list[Record]) -> None:
        one, other = records[at], records[at + 1]
        records[at] = replace(other, offset=one.offset)
        records[at + 1] = replace(one, offset=other.offset)

    return edit


def change(at: int, changed: Callable[[Record], Record]) -> Edit:
    def edit(records: list[Record]) -> None:
        records[at] = changed(records[at])

    return edit


def put_behind(records: list[Record]) -> None:
    records.append(replace(records[-1], offset=records[-1].offset + 1))


EDITS: dict[str, tuple[Edit, int]] = {
    "dropped": (drop(3), 3),
    "first dropped": (drop(0), 0),
    "repeated": (repeat(3), 3),
    "swapped": (swap(3), 3),
    "contents swapped": (swap_contents(3), 3),
    "value": (change(3, lambda record: replace(record, value=b"lie")), 3),
    "no value": (change(3, lambda record: replace(record, value=None)), 3),
    "key": (change(3, lambda record: replace(record, key=b"lie")), 3),
    "time": (change(3, lambda record: replace(record, timestamp_ms=1)), 3),
    "headers": (change(3, lambda record: replace(record, headers=())), 3),
    "moved": (change(3, lambda record: replace(record, offset=1_000_000)), 3),
}
FOUND_LATER = {"repeated": 3}
"""A second one of 3 stands where 4 was exported: the one named is the second."""


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("topic", [Topic.EVENTS, Topic.COMMANDS])
def test_a_changed_record_is_named_with_its_place(
    exported: Exported, topic: Topic, name: str
) -> None:
    edit, offset = EDITS[name]
    if topic is Topic.COMMANDS:
        last = exported.manifest.entry(topic, 0).records - 1
        if name in {"swapped", "contents swapped"} and offset + 1 > last:
            offset = last - 1
            edit = swap(offset) if name == "swapped" else swap_contents(offset)
    exported.edit(topic, edit)
    assert exported.found() == ("chain", 0, offset)


@pytest.mark.parametrize("topic", [Topic.EVENTS, Topic.COMMANDS, Topic.DEFINITIONS])
def test_records_cut_off_or_put_behind_the_end_are_named(
    exported: Exported, topic: Topic
) -> None:
    count = exported.manifest.entry(topic, 0).records
    exported.edit(topic, drop(count - 1))
    assert exported.found() == ("chain", 0, count - 1)
    exported.edit(topic, lambda _: None)  # an edit of the rest writes no more


def test_a_record_put_behind_the_end_is_named(exported: Exported) -> None:
    exported.edit(Topic.EVENTS, put_behind)
    count = exported.manifest.entry(Topic.EVENTS, 0).records
    assert exported.found() == ("chain", 0, count)


def test_a_chain_that_is_written_anew_does_not_reach_the_manifest(
    exported: Exported,
) -> None:
    exported.edit(
        Topic.EVENTS,
        change(3, lambda record: replace(record, value=b"lie")),
        chain=True,
    )
    invariant, partition, _ = exported.found()
    assert (invariant, partition) == ("chain", 0)


def test_under_a_manifest_that_is_written_anew_the_invariants_still_hold_it(
    exported: Exported,
) -> None:
    events = exported.manifest.entry(Topic.EVENTS, 0)
    lie = exported.edit(Topic.EVENTS, drop(3), chain=True)
    files = tuple(lie if one == events else one for one in exported.manifest.files)
    forged = replace(exported.manifest, files=files)
    (exported.folder / MANIFEST).write_bytes(manifest_bytes(forged))
    invariant, partition, offset = exported.found()
    assert (invariant, partition) == ("I1", 0)
    assert offset == 4


def test_fields_that_the_bytes_do_not_give_are_named(lines: Exported) -> None:
    path = lines.file(Topic.EVENTS)
    rows = path.read_text().splitlines()
    row = json.loads(rows[2])
    row["decoded"]["run"] = 7
    rows[2] = json.dumps(row, separators=(",", ":"))
    path.write_text("\n".join(rows) + "\n")
    assert lines.found() == ("chain", 0, 2)


def test_bytes_that_are_no_record_are_named(lines: Exported) -> None:
    path = lines.file(Topic.COMMANDS)
    rows = path.read_bytes().splitlines()
    rows[1] = rows[1][:-9]
    path.write_bytes(b"\n".join(rows) + b"\n")
    assert lines.found() == ("chain", 0, 1)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_is_found(exported: Exported, place: float) -> None:
    path = exported.file(Topic.EVENTS)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)
    assert exported.found()[:2] == ("chain", 0)


def test_a_file_that_is_gone_is_named(exported: Exported) -> None:
    exported.file(Topic.DEFINITIONS).unlink()
    assert exported.found() == ("chain", 0, 0)


def test_a_chain_that_is_gone_is_found(exported: Exported) -> None:
    place = exported.manifest.entry(Topic.EVENTS, 0).place
    chain_path(exported.folder, place).unlink()
    assert exported.found() == ("chain", 0, 0)


def test_nothing_of_a_changed_export_is_imported(
    exported: Exported, tmp_path: Path
) -> None:
    exported.edit(Topic.EVENTS, change(3, lambda record: replace(record, value=b"lie")))
    with pytest.raises(DecodeError, match="record that was exported at 0@3"):
        import_export(f"file:{tmp_path / 'copy.db'}", exported.folder)
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version": 1', b'"version": 2'),
        (b'"murmur2"', b'"crc32"'),
        (b'"topic": "commands"', b'"topic": "events"'),
        (b'"records": ', b'"records": -'),
        (b'"files"', b'"papers"'),
        (b"{", b"["),
        (b'"partitions": 1', b'"partitions": 1000000000000'),
        (b'"records": ', b'"records": 9' + b"0" * 30),
        (b"{", b"[" * 100_000),
        (b"{", b" " * (MANIFEST_BYTES_MAX + 1) + b"{"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    lines: Exported, old: bytes, new: bytes
) -> None:
    path = lines.folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DecodeError, match="manifest"):
        verify_export(lines.folder)


def test_a_line_beyond_the_limit_is_refused_before_it_is_read_whole(
    lines: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_module(file_format_of.__module__), "LINE_BYTES_MAX", 10_000
    )
    verify_export(lines.folder)
    path = next(lines.folder.glob("events*.jsonl"))
    path.write_bytes(b" " * 10_001 + path.read_bytes())
    with pytest.raises(DecodeError, match="lines of at most 10000 bytes"):
        import_export(f"file:{tmp_path / 'copy.db'}", lines.folder)

"""Files that people hand in: exports and printed histories, and what is none."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, cast

import fastavro
import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.audit import export, history
from sayiir_es.audit.export.files import AVRO_SCHEMA
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.errors import DecodeError, HoleInHistoryError, UsageError
from sayiir_es.operations import imported_files
from sayiir_es.operations.event_fields import fields_of
from sayiir_es.operations.imported_files import Imported, ImportedFile, read_files
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = ["a/b?c#d%", "order-7"]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBackend]:
    place = tmp_path_factory.mktemp("log") / "log.db"
    with EmbeddedBackend(place) as backend:
        for instance_id in IDS:
            run_durable_workflow(approving, instance_id, 2, backend=backend)
        run_durable_workflow(doubling, "d", 2, backend=backend)
        yield backend


NO_EVENT = (
    b'{"offset":1,"timestamp_ms":0,"key_base64":null,"value_base64":"AAAA",'
    b'"headers_base64":[]}'
)


def handed_in(folder: Path) -> list[ImportedFile]:
    return [
        ImportedFile(name=path.name, data=path.read_bytes())
        for path in sorted(folder.iterdir())
    ]


def printed(backend: EmbeddedBackend, *ids: str) -> bytes:
    """What `instance history -o jsonl` prints of some instances."""
    lines = [
        json.dumps(fields_of(entry))
        for instance_id in ids
        for entry in history(backend, instance_id).events
    ]
    return "\n".join(lines).encode() + b"\n"


def read(data: bytes, name: str = "history.jsonl") -> Imported:
    return read_files([ImportedFile(name=name, data=data)])


@pytest.mark.parametrize("file_format", ["avro", "jsonl"])
def test_an_export_is_folded_as_its_log_is(
    backend: EmbeddedBackend, tmp_path: Path, file_format: str
) -> None:
    export(backend, tmp_path / "copy", file_format=file_format)
    imported = read_files(handed_in(tmp_path / "copy"))
    assert sorted(imported.histories) == sorted([*IDS, "d"])
    assert imported.graphs == 2
    assert "manifest.json" in imported.passed
    for instance_id, ours in imported.histories.items():
        whole = history(backend, instance_id)
        assert ours.events == whole.events
        assert ours.state() == whole.state()
        assert ours.graph == whole.graph


def test_a_printed_history_is_folded_without_its_graph(
    backend: EmbeddedBackend,
) -> None:
    imported = read(printed(backend, *IDS))
    assert list(imported.histories) == IDS
    ours, whole = imported.histories["order-7"], history(backend, "order-7")
    assert ours.graph is None
    assert ours.state().values == whole.state().values
    assert [entry.offset for entry in ours.events] == [
        entry.offset for entry in whole.events
    ]


def test_a_json_list_is_read_too(backend: EmbeddedBackend) -> None:
    lines = printed(backend, "d").splitlines()
    imported = read(b"[" + b",".join(lines) + b"]", "history.json")
    assert list(imported.histories) == ["d"]


def test_an_event_that_is_handed_in_twice_counts_once(
    backend: EmbeddedBackend,
) -> None:
    data = printed(backend, "d")
    once, twice = read(data), read(data + data)
    assert twice.histories["d"].events == once.histories["d"].events


def test_a_history_with_a_hole_says_where(backend: EmbeddedBackend) -> None:
    lines = printed(backend, "d").splitlines()
    del lines[1]
    holed = read(b"\n".join(lines)).histories["d"]
    with pytest.raises(HoleInHistoryError, match="expected sequence 2 of 'd'"):
        holed.state()


def test_what_a_displaced_owner_wrote_does_not_count(
    backend: EmbeddedBackend, tmp_path: Path
) -> None:
    export(backend, tmp_path / "copy", file_format="jsonl")
    path = tmp_path / "copy" / "events-0.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    last = rows[-1]
    late = {**last, "offset": last["offset"] + 1}
    late["headers_base64"] = [
        (name, "OTk5" if name == "claim" else text)
        for name, text in last["headers_base64"]
    ]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, late]))
    offsets = [
        entry.offset
        for one in read_files(handed_in(tmp_path / "copy")).histories.values()
        for entry in one.events
    ]
    assert last["offset"] in offsets or last["offset"] + 1 not in offsets
    assert late["offset"] not in offsets


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PAR1....", "'x.jsonl' is Parquet: export with --format avro or jsonl"),
        (b"\xff\xfe\x00", "'x.jsonl' is no text: byte 0 is 0xff"),
        (b"hello", "expected JSON at line 1 of 'x.jsonl'"),
        (b"5\n", "expected an event or record at line 1 of 'x.jsonl', but a int"),
        (b'{"a": 1}', "expected a string at line 1 of 'x.jsonl'.kind, but nothing"),
        (b"[" * 100_000, "expected JSON at 'x.jsonl'"),
        (b"Obj\x01junk", "expected an export's Avro file, but 'x.jsonl' is none"),
        (
            b'{"value_base64": "%", "offset": 1}',
            "expected a record of an export at line 1 of 'x.jsonl', but",
        ),
        (
            NO_EVENT,
            "expected an event or a definition at offset 1 of 'x.jsonl'",
        ),
    ],
)
def test_bad_files_say_what_was_expected_and_seen(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as error:
        read(data, "x.jsonl")
    assert message in str(error.value)


@pytest.mark.parametrize("files", [[], [ImportedFile(name="a.jsonl", data=b" \n")]])
def test_files_without_events_are_refused(files: list[ImportedFile]) -> None:
    with pytest.raises(UsageError, match="without any event"):
        read_files(files)


def test_more_than_fits_is_refused(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = printed(backend, "d")
    monkeypatch.setattr(imported_files, "EVENTS_MAX", 3)
    with pytest.raises(UsageError, match="at most 3 events"):
        read(data)
    monkeypatch.setattr(imported_files, "BYTES_MAX", 100)
    with pytest.raises(
        UsageError, match=f"at most 100 bytes of files, but {len(data):,}"
    ):
        read(data)


def packed(*, schema: object = AVRO_SCHEMA, codec: str = "deflate", size: int) -> bytes:
    """An Avro file with one record of so many equal bytes."""
    row: dict[str, object] = {
        "offset": 0,
        "timestamp_ms": 0,
        "key": None,
        "headers": [],
    }
    file = io.BytesIO()
    cast("Any", fastavro).writer(
        file,
        schema,
        [{**row, "value": bytes(size)}],
        codec=codec,
    )
    return file.getvalue()


def read_packed(data: bytes) -> Imported:
    return read_files([ImportedFile(name="events-0.avro", data=data)])


def test_a_small_file_does_not_unpack_to_more_than_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imported_files, "UNPACKED_MAX", 10_000_000)
    data = packed(size=20_000_000)
    assert len(data) < 50_000
    with pytest.raises(UsageError, match=r"at most 10,000,000 bytes of unpacked"):
        read_packed(data)


def test_an_avro_file_has_the_schema_and_a_codec_of_an_export() -> None:
    other = {"type": "record", "name": "X", "fields": AVRO_SCHEMA["fields"]}
    with pytest.raises(DecodeError, match=r"another schema"):
        read_packed(packed(schema=other, size=10))
    with pytest.raises(DecodeError, match=r"deflate or null, but b'bzip2'"):
        read_packed(packed(codec="bzip2", size=10))


@pytest.mark.parametrize("length", [4, 5, 30, -1, -20])
def test_an_avro_file_that_ends_early_is_damaged(length: int) -> None:
    with pytest.raises(DecodeError, match=r"expected an export's Avro file"):
        read_packed(packed(size=10)[:length])

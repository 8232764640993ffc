"""Exports: deterministic, whole or not at all, and imported they are the same log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit import export, import_export, verify, verify_export
from sayiir_es.audit.export.checking import ExportFiles
from sayiir_es.audit.export.export import export_log
from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.audit.export.import_export import import_into
from sayiir_es.audit.export.manifest import read_manifest
from sayiir_es.audit.export.origin import TIME_HEADER, as_exported
from sayiir_es.client.backends import backend_from_url
from sayiir_es.core.model.errors import AppNotFoundError, UsageError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Record, Topic
from sayiir_es.wire.events import encode_event, event_headers
from tests.audit.export.export_logs import (
    UNREADABLE,
    contents,
    make_log,
    position,
    snapshots,
)
from tests.audit.instance_logs import claimed

if TYPE_CHECKING:
    from pathlib import Path

EACH_FORMAT = pytest.mark.parametrize("file_format", list(ExportFormat))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A log with every kind of record."""
    return make_log(tmp_path)


async def memory_log(partitions: int, commands: int) -> MemoryLog:
    """A log of several partitions; each has a claim and some commands."""
    log = MemoryLog(partitions)
    await log.open(create=True)
    event = claimed(1_700_000_000_000)
    headers = event_headers(PartitionClaimed.__name__, -1)
    for partition in range(partitions):
        appender = await log.appender(partition)
        batch = [NewRecord(key=None, value=encode_event(event), headers=headers)]
        await appender.append(batch)
        for number in range(commands):
            record = NewRecord(key=b"%d" % number, value=b"x" * (number + 1))
            await log.produce(Topic.COMMANDS, partition, record)
    return log


# --- round trips ----------------------------------------------------------------------


@EACH_FORMAT
async def test_an_imported_log_gives_equal_snapshots_and_the_same_export_again(
    url: str, tmp_path: Path, file_format: ExportFormat
) -> None:
    first, copy, again = tmp_path / "a", f"file:{tmp_path / 'copy.db'}", tmp_path / "b"
    manifest = export(url, first, file_format=file_format)
    assert import_export(copy, first) == manifest
    assert export(copy, again, file_format=file_format) == manifest
    assert contents(again) == contents(first)
    logs = [backend_from_url(one).open_log() for one in (url, copy)]
    rows, copied = [await snapshots(log) for log in logs]
    names = {"ended", "waits", "early", "failed", "forked"}
    assert {instance for _, instance in rows} == names
    assert copied == rows
    assert await position(logs[0]) == await position(logs[1])
    assert verify(copy).holds
    verdict = verify_export(first)
    assert verdict == verify(url)
    assert verdict.holds
    assert verdict.events > 15


@EACH_FORMAT
def test_every_record_keeps_its_exact_bytes_and_its_time(
    url: str, tmp_path: Path, file_format: ExportFormat
) -> None:
    manifest = export(url, tmp_path / "out", file_format=file_format)
    files = ExportFiles(tmp_path / "out", manifest)
    commands = list(files.records(manifest.entry(Topic.COMMANDS, 0)))
    assert [record.offset for record in commands] == list(range(len(commands)))
    unreadable = next(r for r in commands if r.key == UNREADABLE.key)
    assert unreadable.value == UNREADABLE.value
    assert unreadable.headers == UNREADABLE.headers
    assert unreadable.timestamp_ms > 1_600_000_000_000
    assert len(list(files.records(manifest.entry(Topic.DEAD_LETTERS, 0)))) == 1


async def test_a_log_of_several_partitions_has_a_file_for_each(tmp_path: Path) -> None:
    log = await memory_log(3, 1_200)
    manifest = await export_log(log, tmp_path / "a")
    assert manifest.records == 3 * 1_201
    copy = MemoryLog(3)
    await import_into(copy, tmp_path / "a")
    await export_log(copy, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 2 * (3 * 3 + 1) + 1


def test_the_chains_of_all_formats_are_the_same(url: str, tmp_path: Path) -> None:
    chains = {
        tuple(e.chain for e in export(url, tmp_path / f, file_format=f).files)
        for f in ExportFormat
    }
    assert len(chains) == 1


def test_lines_show_the_fields_beside_the_bytes(url: str, tmp_path: Path) -> None:
    export(url, tmp_path / "out", file_format="jsonl")
    lines = (tmp_path / "out" / "events-0.jsonl").read_text().splitlines()
    fields = [json.loads(line)["decoded"] for line in lines]
    assert fields[0]["kind"] == "PartitionClaimed"
    assert {"kind": "TaskCompleted", "output": 42}.items() <= next(
        one.items() for one in fields if one["kind"] == "TaskCompleted"
    )
    commands = (tmp_path / "out" / "commands-0.jsonl").read_text().splitlines()
    decoded = [json.loads(line)["decoded"] for line in commands]
    assert decoded[0]["command"] == "StartWorkflow"
    assert None in decoded  # the one that cannot be read


def test_a_header_that_tells_no_time_stays() -> None:
    record = Record(
        offset=0, key=None, value=b"", headers=((TIME_HEADER, b"x"),), timestamp_ms=7
    )
    assert as_exported(record) is record


# --- whole or not at all --------------------------------------------------------------


class _StoppedError(Exception):
    pass


async def test_an_export_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _total: int, /) -> None:
        if done > 5:
            raise _StoppedError

    log = await memory_log(3, 10)
    (tmp_path / "in").mkdir()
    with pytest.raises(_StoppedError):
        await export_log(log, tmp_path / "in" / "out", progress=stop)
    assert list((tmp_path / "in").iterdir()) == []


KILLED = """
import asyncio, os, signal, sys
from sayiir_es.audit.export.export import export_log
from sayiir_es.client.backends import backend_from_url

def killed(done, total):
    os.kill(os.getpid(), signal.SIGKILL)

log = backend_from_url(sys.argv[1]).open_log()
asyncio.run(export_log(log, sys.argv[2], progress=killed))
"""


def test_what_a_killed_export_leaves_is_no_export(url: str, tmp_path: Path) -> None:
    into = tmp_path / "in"
    into.mkdir()
    command = [sys.executable, "-c", KILLED, url, str(into / "out")]
    ended = subprocess.run(command, check=False, env=os.environ)  # noqa: S603 (ours)
    assert ended.returncode == -signal.SIGKILL
    (left,) = into.iterdir()
    copy = tmp_path / "copy.db"
    with pytest.raises(UsageError, match="no manifest"):
        import_export(f"file:{copy}", left)
    assert not copy.exists()
    assert export(url, into / "out").records
    # Even with its manifest, it has not got its name yet.
    whole = into / ".out-x.partial"
    (into / "out").rename(whole)
    with pytest.raises(UsageError, match="no manifest"):
        read_manifest(whole)


def test_an_export_never_writes_over_anything(url: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists"):
        export(url, tmp_path / "out")


def test_without_a_log_there_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(AppNotFoundError):
        export(f"file:{tmp_path / 'none.db'}", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- what an import refuses -----------------------------------------------------------


def test_an_import_takes_an_empty_log_only(url: str, tmp_path: Path) -> None:
    export(url, tmp_path / "out")
    with pytest.raises(UsageError, match="expected an empty log, but 'events-0' has"):
        import_export(url, tmp_path / "out")


async def test_an_import_takes_a_log_of_as_many_partitions_only(tmp_path: Path) -> None:
    await export_log(await memory_log(3, 1), tmp_path / "out")
    with pytest.raises(UsageError, match="log of 3 partitions, as the export has"):
        await import_into(MemoryLog(1), tmp_path / "out")
    with pytest.raises(UsageError, match="log of 3 partitions, as the export has"):
        await import_into(await memory_log(1, 0), tmp_path / "out")


async def test_records_that_could_not_keep_their_offsets_are_refused(
    tmp_path: Path,
) -> None:
    log = await memory_log(1, 10)
    log.drop_before(Topic.COMMANDS, 0, 4)
    manifest = await export_log(log, tmp_path / "out")
    entry = manifest.entry(Topic.COMMANDS, 0)
    assert (entry.start, entry.end, entry.records) == (4, 10, 6)
    with pytest.raises(UsageError, match="each offset of 'commands-0' from 0 to 10"):
        await import_into(MemoryLog(1), tmp_path / "out")


async def test_gaps_among_definitions_are_closed(tmp_path: Path) -> None:
    log = await memory_log(1, 0)
    for key in (b"app", b"one", b"two"):
        record = NewRecord(key=key, value=b"{}")
        await log.produce(Topic.DEFINITIONS, 0, record)
    manifest = await export_log(log, tmp_path / "a")
    copy = MemoryLog(1)
    await import_into(copy, tmp_path / "a")
    again = await export_log(copy, tmp_path / "b")
    entry = manifest.entry(Topic.DEFINITIONS, 0)
    assert again.entry(Topic.DEFINITIONS, 0) == replace(
        entry,
        end=2,
        chain=again.entry(Topic.DEFINITIONS, 0).chain,
        sha256=again.entry(Topic.DEFINITIONS, 0).sha256,
    )

"""The log in one file: refused files, other processes, one instance's events."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    DamagedLogError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.embedded import file, tables
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import InstanceIndex, Topic
from tests.log.conformance import batch, read_all, read_records, record, values

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.embedded.rows import Read
    from sayiir_es.log.port import Record

PRODUCER = """
import asyncio, sys
from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import NewRecord, Topic

async def main():
    log = EmbeddedLog(sys.argv[1])
    await log.open(create=False)
    for number in range(int(sys.argv[2])):
        record = NewRecord(key=b"i", value=str(number).encode())
        await log.produce(Topic.COMMANDS, 0, record)
    await log.close()

asyncio.run(main())
"""


async def make_log(path: Path, *, partitions: int = 1) -> None:
    log = EmbeddedLog(path, partitions=partitions)
    await log.open(create=True)
    await (await log.appender(0)).append(batch("a", 20))
    await log.close()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


# --- what is refused ------------------------------------------------------------------


async def test_a_missing_file_is_made_only_when_that_was_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a" / "b" / "log.db"
    with pytest.raises(AppNotFoundError, match="no such file"):
        await EmbeddedLog(path).open(create=False)
    assert not path.parent.exists()
    await make_log(path)
    assert path.exists()


async def test_an_empty_file_is_no_log_yet(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    with pytest.raises(AppNotFoundError, match="nobody has made it"):
        await EmbeddedLog(path).open(create=False)
    await make_log(path)


async def test_what_is_not_sqlite_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"dear diary, " * 1_000)
    with pytest.raises(UnsafeLogError, match="not a database"):
        await EmbeddedLog(path).open(create=True)
    assert path.read_bytes() == b"dear diary, " * 1_000


async def test_the_database_of_another_program_is_refused_and_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    change(path, "CREATE TABLE diary (entry TEXT)")
    before = path.read_bytes()
    with pytest.raises(UnsafeLogError, match="another program"):
        await EmbeddedLog(path).open(create=True)
    assert path.read_bytes() == before


async def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    change(path, "UPDATE meta SET value = '3' WHERE key = 'format'")
    with pytest.raises(UnsafeLogError, match=r"format '2'.*but it has '3'"):
        await EmbeddedLog(path).open(create=True)


async def test_another_partition_count_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path, partitions=2)
    with pytest.raises(UnsafeLogError, match=r"expected 1 partitions.*'2'"):
        await EmbeddedLog(path).open(create=True)


async def test_a_missing_topic_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    change(path, "DELETE FROM meta WHERE key = 'topic:events'")
    with pytest.raises(UnsafeLogError, match="events"):
        await EmbeddedLog(path).open(create=True)


@pytest.mark.parametrize("where", [0.4, 0.7, 0.95])
async def test_a_damaged_file_is_refused(tmp_path: Path, where: float) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    await (await log.appender(0)).append([record(b"x" * 300) for _ in range(200)])
    await log.close()
    data = bytearray(path.read_bytes())
    page = int(len(data) * where) // 4096 * 4096
    data[page : page + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    with pytest.raises(DamagedLogError, match="copy"):
        await EmbeddedLog(path).open(create=True)


async def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedLogError, match="copy"):
        await EmbeddedLog(path).open(create=True)


async def test_a_log_that_is_not_open_says_so(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.db")
    with pytest.raises(LogUnavailableError, match="open"):
        await log.produce(Topic.COMMANDS, 0, record(b"1"))
    await log.open(create=True)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    reading = asyncio.create_task(reader.read(max_wait_s=10))
    await asyncio.wait([reading], timeout=0.05)
    await log.close()
    with pytest.raises(LogUnavailableError, match="open"):
        await reading
    with pytest.raises(LogUnavailableError, match="open"):
        await log.end_offset(Topic.EVENTS, 0)
    with pytest.raises(ValueError, match="partition"):
        await log.reader(Topic.EVENTS, 1, 0)


async def test_a_file_that_others_keep_locked_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    monkeypatch.setattr(file, "BUSY_LIMIT_S", 0.1)
    log = EmbeddedLog(path)
    await log.open(create=False)
    appender = await log.appender(0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailableError, match="kept it locked"):
            await log.produce(Topic.COMMANDS, 0, record(b"1"))
        with pytest.raises(LogUnavailableError, match="kept it locked"):
            await appender.append(batch("b", 1))
        assert len(await read_all(log)) == 20  # readers need no lock
    assert await log.produce(Topic.COMMANDS, 0, record(b"1")) == 0
    assert await (await log.appender(0)).append(batch("b", 1)) == 20
    await log.close()


# --- several at once ------------------------------------------------------------------


async def test_many_that_create_the_same_log_at_once_create_one(tmp_path: Path) -> None:
    logs = [EmbeddedLog(tmp_path / "log.db") for _ in range(6)]
    identities = await asyncio.gather(*(log.open(create=True) for log in logs))
    assert all(identity == identities[0] for identity in identities)
    for number, log in enumerate(logs):
        assert await log.produce(Topic.COMMANDS, 0, record(b"x")) == number
    for log in logs:
        await log.close()


async def test_a_second_process_produces_while_the_first_reads(tmp_path: Path) -> None:
    path, count = tmp_path / "log.db", 50
    log = EmbeddedLog(path)
    await log.open(create=True)
    reader = await log.reader(Topic.COMMANDS, 0, 0)
    producer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PRODUCER, str(path), str(count)),
        stderr=subprocess.PIPE,
    )
    texts: list[str] = []
    for number in range(count // 2):
        texts += values(await read_records(reader, 1)) if len(texts) <= number else []
        # Meanwhile this process writes too.
        await (await log.appender(0)).append(batch("a", 2))
    while len(texts) < count:
        texts += values(await read_records(reader, 1))
    assert texts == [str(number) for number in range(count)]
    _, errors = await producer.communicate()
    assert (producer.returncode, errors) == (0, b"")
    await log.close()


async def test_a_commit_of_another_process_is_noticed_within_the_wait(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    reader = await log.reader(Topic.COMMANDS, 0, 0)
    reading = asyncio.create_task(reader.read(max_wait_s=30))
    producer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PRODUCER, str(path), "1")
    )
    assert await producer.wait() == 0
    chunk = await reading
    assert chunk is not None, "it was not woken"
    assert values(list(chunk.records)) == ["0"]
    await log.close()


class CountedLooks(EmbeddedLog):
    """A log that counts how often its readers look into the file."""

    looks = 0

    async def read_from(self, topic: Topic, partition: int, offset: int) -> Read:
        """Count, and read."""
        self.looks += 1
        return await super().read_from(topic, partition, offset)


async def test_a_reader_looks_about_once_for_each_commit(tmp_path: Path) -> None:
    log = CountedLooks(tmp_path / "log.db")
    await log.open(create=True)
    reader = await log.reader(Topic.COMMANDS, 0, 0)
    assert await reader.read(max_wait_s=0) is None
    log.looks, commits = 0, 20
    for number in range(commits):
        reading = asyncio.create_task(reader.read(max_wait_s=30))
        await log.produce(Topic.COMMANDS, 0, record(b"%d" % number))
        chunk = await reading
        assert chunk is not None
        assert values([*chunk.records]) == [str(number)]
    assert log.looks < 2 * commits
    # What is committed between two reads is found, however little the next one waits.
    await log.produce(Topic.COMMANDS, 0, record(b"between"))
    chunk = await reader.read(max_wait_s=0)
    assert chunk is not None
    assert values([*chunk.records]) == ["between"]
    assert await reader.read(max_wait_s=0) is None
    await reader.close()
    await log.close()


def test_loops_in_two_threads_share_a_file(tmp_path: Path) -> None:
    path, rounds = tmp_path / "log.db", 30

    async def echo() -> None:
        log = EmbeddedLog(path)
        await log.open(create=True)
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        appender = await log.appender(0)
        for _ in range(rounds):
            (command,) = await read_records(reader, 1)
            await appender.append([record(command.value or b"")])
        await log.close()

    async def ask() -> None:
        log = EmbeddedLog(path)
        await log.open(create=True)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        for number in range(rounds):
            await log.produce(Topic.COMMANDS, 0, record(str(number).encode()))
            assert values(await read_records(reader, 1)) == [str(number)]
        await log.close()

    thread = threading.Thread(target=lambda: asyncio.run(echo()))
    thread.start()
    asyncio.run(ask())
    thread.join(10)
    assert not thread.is_alive()


async def test_the_events_of_one_instance_are_read_by_its_key(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log.db", partitions=2)
    await log.open(create=True)
    keys = [b"one", b"two", None, b"one"]
    for partition in (0, 1):
        appender = await log.appender(partition)
        await appender.append(
            [record(f"{partition}:{i}".encode(), key) for i, key in enumerate(keys)]
        )
    await log.produce(Topic.COMMANDS, 0, record(b"command", b"one"))
    assert isinstance(log, InstanceIndex)
    assert values(await log.read_instance(0, "one")) == ["0:0", "0:2", "0:3"]
    assert values(await log.read_instance(1, "two")) == ["1:1", "1:2"]
    assert values(await log.read_instance(1, "none")) == ["1:2"]
    await log.close()


async def test_closing_commits_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    writes = [
        asyncio.create_task(log.produce(Topic.COMMANDS, 0, record(str(n).encode())))
        for n in range(20)
    ]
    await asyncio.sleep(0)
    await log.close()
    assert sorted(await asyncio.gather(*writes)) == list(range(20))
    again = EmbeddedLog(path)
    await again.open(create=False)
    assert await again.end_offset(Topic.COMMANDS, 0) == 20
    await again.close()


# --- checksums ------------------------------------------------------------------------

FORMAT_1 = """
PRAGMA application_id = 1396791621;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  key BLOB,
  value BLOB,
  headers BLOB,
  timestamp INTEGER NOT NULL,
  PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE INDEX instance ON records (key, partition, offset) WHERE topic = 'events';
INSERT INTO meta VALUES ('format', '1'), ('log_id', 'an id'), ('partitions', '1');
INSERT INTO meta VALUES
  ('topic:commands', 'c'), ('topic:events', 'e'), ('topic:dead-letters', 'l'),
  ('topic:definitions', 'd'), ('topic:attempts', 'a');
INSERT INTO records VALUES
  ('events', 0, 0, x'69', x'61', NULL, 1), ('events', 0, 1, x'69', x'62', NULL, 2);
"""
"""A file as builds before the checksums made it, with two events."""


def make_format_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FORMAT_1)


async def test_a_file_without_checksums_goes_on_with_them(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    make_format_1(path)
    log = EmbeddedLog(path)
    identity = await log.open(create=False)
    assert (identity.cluster_id, identity.topics["events"]) == ("an id", "e")
    assert await (await log.appender(0)).append([record(b"c", b"i")]) == 2
    assert values(await log.read_instance(0, "i")) == ["a", "b", "c"]
    assert await read_all(log) == ["a", "b", "c"]
    await log.close()
    with closing(sqlite3.connect(path)) as connection:
        checksums = connection.execute("SELECT checksum IS NULL FROM records")
        assert [is_null for (is_null,) in checksums] == [1, 1, 0]
    change(path, "UPDATE records SET value = x'63', checksum = NULL WHERE offset = 2")
    await log.open(create=False)
    with pytest.raises(DamagedLogError, match=r"offset 2 of 'events' partition 0 in "):
        await read_all(log)
    await log.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET value = x'7a' WHERE offset = 7",
        "UPDATE records SET key = x'7a' WHERE offset = 7",
        "UPDATE records SET headers = NULL WHERE offset = 7",
        "UPDATE records SET timestamp = 7 WHERE offset = 7",
        "UPDATE records SET checksum = NULL WHERE offset = 7",
        "UPDATE records SET value = 'text' WHERE offset = 7",
        "DELETE FROM records WHERE offset = 7",
        "UPDATE records SET offset = 70 WHERE offset = 7",
    ],
)
async def test_a_record_that_is_not_what_was_written_is_refused(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    change(path, statement)
    log = EmbeddedLog(path)
    await log.open(create=False)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    with pytest.raises(DamagedLogError, match=r"the record at offset \d+ of 'events'"):
        await reader.read(max_wait_s=1)
    await log.close()


async def test_what_a_file_says_of_itself_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    change(path, "UPDATE meta SET value = 'another' WHERE key = 'log_id'")
    with pytest.raises(DamagedLogError, match="has another checksum"):
        await EmbeddedLog(path).open(create=True)


async def test_an_index_of_instances_that_leaves_events_out_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "log.db", ("one", "six", "two")
    log = EmbeddedLog(path)
    await log.open(create=True)
    keys = [None, *(name.encode() for name in names * 3)]
    await (await log.appender(0)).append([record(b"1", each) for each in keys])
    expected = [list(await log.read_instance(0, name)) for name in names]
    await log.close()
    monkeypatch.setattr(tables, "WHOLE_CHECK_BYTES_MAX", 0)
    data = path.read_bytes()
    # In an entry of the index the key stands before the topic, in a record behind it.
    entries = [*re.finditer(rb"(one|six|two).{0,2}events", data)]
    assert len(entries) == 9
    for entry in entries:
        for new_key in (b"\0\0\0", b"aaa", b"pop", b"zzz", b"six", b"two"):
            if new_key == entry[1]:
                continue
            at = entry.start()
            copy = tmp_path / "copy.db"
            copy.write_bytes(data[:at] + new_key + data[at + 3 :])
            await log_is_right_or_refused(copy, dict(zip(names, expected, strict=True)))


async def log_is_right_or_refused(
    path: Path, expected: dict[str, list[Record]]
) -> None:
    log, refused = EmbeddedLog(path), 0
    await log.open(create=False)
    for name, records in expected.items():
        try:
            assert list(await log.read_instance(0, name)) == records
        except DamagedLogError as error:
            assert "the index of instances" in str(error)  # noqa: PT017 (either will do)
            refused += 1
    await log.close()
    assert refused

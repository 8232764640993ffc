"""The log in one file after `kill -9`, torn writes, a failing disk and a full one.

Each record names the size of its batch, so that a part of a batch can be seen.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError, UncertainAppendError
from sayiir_es.log.batch_size import check_batch
from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.embedded.rows import Write
from sayiir_es.log.embedded.threads import CommitThread
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import Topic
from tests.log.conformance import batch, read_all, record

if TYPE_CHECKING:
    from sayiir_es.log.port import NewRecord

WRITER = """
import asyncio, sys
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import NewRecord

async def main():
    log = EmbeddedLog(sys.argv[1])
    await log.open(create=True)
    appender = await log.appender(0)
    for number in range(1_000_000):
        size = 1 + number % 7
        names = (f"{sys.argv[2]}.{number}:{i}/{size}" for i in range(size))
        batch = [NewRecord(key=b"i", value=name.encode() * 20) for name in names]
        base = await appender.append(batch)
        print(base, size, flush=True)

asyncio.run(main())
"""


def check_whole_batches(texts: list[str]) -> None:
    """Check that every batch is there from its first record to its last."""
    at = 0
    while at < len(texts):
        name, _, rest = texts[at].partition(":")
        size = int(rest.partition("/")[2])
        assert texts[at : at + size] == [f"{name}:{i}/{size}" for i in range(size)]
        at += size


def tail_of(path: Path) -> Path:
    """Return the write-ahead file, where SQLite keeps the last commits."""
    return path.with_name(path.name + "-wal")


async def read_events(path: Path) -> list[str]:
    """Open the file again and read all events in it."""
    log = EmbeddedLog(path)
    await log.open(create=False)
    texts = await read_all(log)
    await log.close()
    return texts


async def test_kill_9_loses_no_acknowledged_batch_and_leaves_no_part_of_one(
    tmp_path: Path,
) -> None:
    path, chance = tmp_path / "log.db", random.Random(1)  # noqa: S311 - when to kill
    acknowledged = 0
    for number in range(20):
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, str(path), str(number)),
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        async with asyncio.timeout(20):
            for _ in range(chance.randint(1, 30)):
                assert await writer.stdout.readline()
            writer.kill()
            lines = (await writer.stdout.read()).splitlines(keepends=True)
            await writer.wait()
        complete = [line for line in lines if line.endswith(b"\n")]
        log = EmbeddedLog(path)
        await log.open(create=False)
        end = await log.end_offset(Topic.EVENTS, 0)
        await log.close()
        if complete:
            base, size = map(int, complete[-1].split())
            acknowledged = base + size
        assert end >= acknowledged
    texts = [text[: len(text) // 20] for text in await read_events(path)]
    assert len({text.partition(".")[0] for text in texts}) == 20
    check_whole_batches(texts)


async def test_a_log_whose_tail_is_cut_anywhere_opens_with_whole_batches_only(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    appender = await log.appender(0)
    for number in range(8):
        await appender.append(batch(str(number), 1 + number % 4))
    expected = await read_all(log)
    data, tail = path.read_bytes(), tail_of(path).read_bytes()
    await log.close()

    chance = random.Random(2)  # noqa: S311 - where to cut
    counts: list[int] = []
    edges = {0, 1, 31, 32, 33, len(tail) - 1, len(tail)}
    cuts = sorted(edges | {chance.randrange(len(tail)) for _ in range(36)})
    for cut in cuts:
        copy = tmp_path / str(cut) / "log.db"
        copy.parent.mkdir()
        copy.write_bytes(data)
        tail_of(copy).write_bytes(tail[:cut])
        texts = await read_events(copy)
        assert texts == expected[: len(texts)]
        check_whole_batches(texts)
        counts.append(len(texts))
    assert counts == sorted(counts)
    assert counts[-1] == len(expected)
    assert len(set(counts)) > 4


async def test_a_torn_byte_in_the_tail_ends_the_log_before_that_batch(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    appender = await log.appender(0)
    await appender.append(batch("first", 3))
    intact_bytes = len(tail_of(path).read_bytes())
    await appender.append(batch("second", 3))
    data, tail = path.read_bytes(), bytearray(tail_of(path).read_bytes())
    await log.close()
    tail[intact_bytes + 2_000] ^= 1
    copy = tmp_path / "copy.db"
    copy.write_bytes(data)
    tail_of(copy).write_bytes(tail)
    assert await read_events(copy) == [f"first:{i}/3" for i in range(3)]


def descriptors_of(path: Path) -> list[int]:
    """Return the descriptors through which this process has a file open."""
    descriptors: list[int] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that listed the folder
            if link.readlink() == path:
                descriptors.append(int(link.name))
    return descriptors


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
async def test_a_failed_sync_is_never_acknowledged_nor_tried_again(
    tmp_path: Path,
) -> None:
    path = (tmp_path / "log.db").resolve()
    log = EmbeddedLog(path)
    await log.open(create=True)
    appender = await log.appender(0)
    await appender.append(batch("before", 2))
    # It takes every write and fails every sync, as a dying disk does.
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors_of(tail_of(path)):
        os.dup2(null, descriptor)
    os.close(null)
    with pytest.raises(UncertainAppendError, match="disk I/O error"):
        await appender.append(batch("lost", 2))
    with pytest.raises(UncertainAppendError):
        await appender.append(batch("lost", 1))
    with pytest.raises(UncertainAppendError, match="start anew"):
        await (await log.appender(0)).append(batch("lost", 1))
    with pytest.raises(LogUnavailableError, match="start anew"):
        await log.produce(Topic.COMMANDS, 0, record(b"lost"))
    await log.close()
    assert await read_events(path) == ["before:0/2", "before:1/2"]


async def test_a_write_that_fails_leaves_nothing_of_its_batch(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    appender = await log.appender(0)
    await appender.append(batch("before", 2))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As with a quota: the write-ahead file may not grow by more than a page.
    limit = tail_of(path).stat().st_size + 5_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UncertainAppendError):
            await appender.append([record(b"x" * 50_000) for _ in range(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await log.close()
    assert await read_events(path) == ["before:0/2", "before:1/2"]


async def test_a_full_disk_refuses_a_batch_whole_and_takes_the_next_when_it_has_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    await log.close()
    commits = CommitThread(path, Notifier().wake)

    async def write(*new: NewRecord) -> int:
        to = StoredPartition(path=path, topic=Topic.EVENTS, partition=0)
        return await commits.write(Write(to, new, check_batch(new)))

    assert await write(*batch("before", 2)) == 0
    await commits.run(lambda c: c.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(UncertainAppendError, match="full"):
        await write(record(b"small"), record(b"x" * 200_000))
    await commits.run(lambda c: c.execute("PRAGMA max_page_count = 100000"))
    assert await write(*batch("after", 1)) == 2
    await commits.close()
    assert await read_events(path) == ["before:0/2", "before:1/2", "after:0/1"]

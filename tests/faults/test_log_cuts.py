"""A log's file that is cut at any byte: it has whole batches, or is refused.

After a power cut any part of the write-ahead file may be missing, and each commit has a
checksum: what remains is a beginning of the log, in whole batches. The file alone does
not show that the end is missing; a store that is ahead of it does. A crash never cuts
the file itself: there a missing byte is damage, and the file is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    DamagedLogError,
    LogWentBackwardsError,
    WorkflowError,
)
from sayiir_es.engine.owner.claiming import Claimer
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.batch_size import check_batch
from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.embedded.rows import Write
from sayiir_es.log.embedded.threads import CommitThread
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import NewRecord, Topic
from tests.audit.instance_logs import claimed
from tests.faults.histories import History, fold_to
from tests.log.conformance import batch, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.engine.store.port import SnapshotStore

LIMIT_S = 10
STRIDE = 131
"""How far apart the cuts of a short run are, besides those at the edges of frames."""

PAGE_BYTES, FRAME_BYTES, WAL_HEADER_BYTES = 4_096, 4_120, 32


async def write_log(path: Path) -> tuple[bytes, bytes, list[str]]:
    """The bytes of a log's file and of its write-ahead file, and what was written.

    Twenty batches are in the file, six in the write-ahead file.
    """
    log = EmbeddedLog(path)
    await log.open(create=True)
    await log.close()
    commits = CommitThread(path, Notifier().wake)

    async def write(number: int) -> list[str]:
        name, size = f"{number}", 1 + number % 4
        records = batch(name, size)
        to = StoredPartition(path=path, topic=Topic.EVENTS, partition=0)
        await commits.write(Write(to, records, check_batch(records)))
        return [f"{name}:{i}/{size}" for i in range(size)]

    record_names: list[str] = []
    for number in range(20):
        record_names += await write(number)
    await commits.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    for number in range(20, 26):
        record_names += await write(number)
    data, ahead = content_of(path)
    await commits.close()
    return data, ahead, record_names


def content_of(path: Path) -> tuple[bytes, bytes]:
    """A log's file, and the write-ahead file beside it."""
    return path.read_bytes(), path.with_name("log.db-wal").read_bytes()


def write_files(folder: Path, data: bytes, ahead: bytes | None) -> Path:
    """Write a log's file, with a write-ahead file or without; returns its path."""
    folder.mkdir(exist_ok=True)
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "log.db").write_bytes(data)
    if ahead is not None:
        (folder / "log.db-wal").write_bytes(ahead)
    return folder / "log.db"


async def read_cut(folder: Path, data: bytes, ahead: bytes | None) -> list[str]:
    """What a log reads of these two files.

    Raises:
        WorkflowError: if it refuses them.
    """
    log = EmbeddedLog(write_files(folder, data, ahead))
    try:
        await log.open(create=True)
        return await read_all(log)
    finally:
        await log.close()


def ends_with_a_whole_batch(records: list[str]) -> bool:
    """Whether the last record is the last of its batch."""
    at, _, size = records[-1].partition(":")[2].partition("/")
    return int(at) + 1 == int(size)


def cut_lengths(size: int, stride: int) -> Iterator[int]:
    """The lengths to which a write-ahead file is cut."""
    yield from range(0, size, stride)
    for frame in range(WAL_HEADER_BYTES, size + 1, FRAME_BYTES):
        yield from (frame - 1, frame, frame + 1, frame + 23, frame + 24, frame + 25)
    yield size


async def check_cut_write_ahead_files(tmp_path: Path, stride: int) -> None:
    data, ahead, record_names = await write_log(tmp_path / "log.db")
    counts: dict[int, int] = {}
    for length in sorted(
        {length for length in cut_lengths(len(ahead), stride) if length <= len(ahead)}
    ):
        records = await read_cut(tmp_path / "cut", data, ahead[:length])
        assert records == record_names[: len(records)]
        assert ends_with_a_whole_batch(records)
        counts[length] = len(records)
    ordered = [counts[length] for length in sorted(counts)]
    assert ordered == sorted(ordered)
    assert ordered[-1] == len(record_names)
    assert len(set(ordered)) == 7  # all that is in the file, and one batch a commit


async def test_a_cut_write_ahead_file_leaves_a_beginning_in_whole_batches(
    tmp_path: Path,
) -> None:
    await check_cut_write_ahead_files(tmp_path, STRIDE * 5)


@pytest.mark.long
async def test_a_write_ahead_file_cut_at_every_byte_leaves_whole_batches(
    tmp_path: Path,
) -> None:
    await check_cut_write_ahead_files(tmp_path, 1)


async def check_cut_files(tmp_path: Path, stride: int) -> None:
    """Cut the file of a log that was closed: every cut is refused."""
    data, ahead, record_names = await write_log(tmp_path / "log.db")
    assert await read_cut(tmp_path / "cut", data, ahead) == record_names
    closed = (tmp_path / "cut" / "log.db").read_bytes()
    assert await read_cut(tmp_path / "cut", closed, None) == record_names
    places = {*range(1, len(closed), stride), *range(1, 120), len(closed) - 1}
    places |= set(range(PAGE_BYTES, len(closed), PAGE_BYTES))
    for length in sorted(places):
        with pytest.raises(DamagedLogError, match="expected a whole log"):
            await read_cut(tmp_path / "cut", closed[:length], None)


async def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    await check_cut_files(tmp_path, STRIDE)


@pytest.mark.long
async def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    await check_cut_files(tmp_path, 1)


async def test_a_cut_file_beside_a_write_ahead_file_is_refused_or_whole(
    tmp_path: Path,
) -> None:
    data, ahead, record_names = await write_log(tmp_path / "log.db")
    refused = 0
    for length in range(0, len(data), STRIDE * 3):
        try:
            assert (
                await read_cut(tmp_path / "cut", data[:length], ahead) == record_names
            )
        except WorkflowError as error:
            assert str(error).startswith("expected "), error  # noqa: PT017 (either will do)
            refused += 1
    assert refused > 10


async def test_an_emptied_file_beside_its_write_ahead_file_is_not_made_anew(
    tmp_path: Path,
) -> None:
    _, ahead, _ = await write_log(tmp_path / "log.db")
    with pytest.raises(DamagedLogError, match="but 0 bytes beside a write-ahead file"):
        await read_cut(tmp_path / "cut", b"", ahead)
    assert (tmp_path / "cut" / "log.db-wal").read_bytes() == ahead


async def test_an_empty_file_is_a_new_log_and_none_where_one_must_be(
    tmp_path: Path,
) -> None:
    assert await read_cut(tmp_path / "cut", b"", None) == []
    log = EmbeddedLog(write_files(tmp_path / "cut", b"", None))
    with pytest.raises(AppNotFoundError, match="nobody has made it yet"):
        await log.open(create=False)
    await log.close()


# --- a store that is ahead of its log -------------------------------------------------


async def log_behind_its_store(tmp_path: Path) -> tuple[EmbeddedLog, MemoryStore]:
    """A log whose last commit is missing, and a store that has folded that commit."""
    history, store = History(4), MemoryStore()
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open(create=True)
    appender = await log.appender(0)
    for offset in range(0, 100, 10):
        await appender.append(
            [
                NewRecord(key=record.key, value=record.value, headers=record.headers)
                for record in history.records(offset, offset + 10)
            ]
        )
    data, ahead = content_of(tmp_path / "log.db")
    await log.close()
    fold_to(store, history, 100)
    log = EmbeddedLog(write_files(tmp_path / "cut", data, ahead[:-FRAME_BYTES]))
    await log.open(create=False)
    assert await log.end_offset(Topic.EVENTS, 0) == 90
    return log, store


async def test_an_owner_whose_store_is_ahead_of_the_log_does_not_claim(
    tmp_path: Path,
) -> None:
    log, store = await log_behind_its_store(tmp_path)

    async def folded() -> None:
        await store.flush()

    claimer = Claimer(log, store, 0, event=lambda: claimed(0), folded=folded)
    with pytest.raises(LogWentBackwardsError, match="to reach offset 100"):
        await claimer.claim("w")
    assert await log.end_offset(Topic.EVENTS, 0) == 90
    await log.close()


async def test_a_projector_whose_store_is_ahead_of_the_log_stops(
    tmp_path: Path,
) -> None:
    log, store = await log_behind_its_store(tmp_path)

    async def open_partition(partition: int) -> SnapshotStore:
        assert partition == 0
        return store

    projector = Projector(log, open_partition)
    projector.start([0])
    async with asyncio.timeout(LIMIT_S):
        await projector.wait_until_ended()
    assert "offset 100" in projector.stopped[0]
    await projector.stop()
    await log.close()

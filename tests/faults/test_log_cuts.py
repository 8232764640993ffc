"""A log's file that is cut at any byte: whole batches, or a refusal in words.

Of the write-ahead file any part may be missing after a power cut, and each commit has
its sum: what is left is a beginning of the log, in whole batches. That it is only a
beginning nobody can see in the file alone; a store that is ahead of it can. The file
itself is never cut by a crash: there a missing byte is damage, and is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    LogError,
    LogUnavailableError,
    LogWentBackwardsError,
    UnsafeLogError,
)
from sayiir_es.engine.owner.claiming import Claimer
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
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


async def written(path: Path) -> tuple[bytes, bytes, list[str]]:
    """The file, its write-ahead file, and what both hold; half is in each."""
    log = EmbeddedLog(path)
    await log.open(create=True)
    await log.close()
    commits = CommitThread(path, Notifier())

    async def write(number: int) -> list[str]:
        name, size = f"{number}", 1 + number % 4
        made = batch(name, size)
        await commits.write(Write(topic=Topic.EVENTS, partition=0, batch=made))
        return [f"{name}:{i}/{size}" for i in range(size)]

    kept: list[str] = []
    for number in range(20):
        kept += await write(number)
    await commits.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    for number in range(20, 26):
        kept += await write(number)
    data, ahead = content_of(path)
    await commits.close()
    return data, ahead, kept


def content_of(path: Path) -> tuple[bytes, bytes]:
    """A log's file, and the write-ahead file beside it."""
    return path.read_bytes(), path.with_name("log.db-wal").read_bytes()


def lay_down(folder: Path, data: bytes, ahead: bytes | None) -> Path:
    """A log's file of these bytes, with a write-ahead file or without."""
    folder.mkdir(exist_ok=True)
    for left in ("log.db", "log.db-wal", "log.db-shm"):
        (folder / left).unlink(missing_ok=True)
    (folder / "log.db").write_bytes(data)
    if ahead is not None:
        (folder / "log.db-wal").write_bytes(ahead)
    return folder / "log.db"


async def read_cut(folder: Path, data: bytes, ahead: bytes | None) -> list[str]:
    """What a log reads of these two files.

    Raises:
        LogError: if it refuses them.
    """
    log = EmbeddedLog(lay_down(folder, data, ahead))
    try:
        await log.open(create=True)
        return await read_all(log)
    finally:
        await log.close()


def whole_batches(found: list[str]) -> bool:
    """Whether the last record is the last of its batch."""
    at, _, size = found[-1].partition(":")[2].partition("/")
    return int(at) + 1 == int(size)


def cuts(size: int, stride: int) -> Iterator[int]:
    """Where to cut a write-ahead file."""
    yield from range(0, size, stride)
    for frame in range(WAL_HEADER_BYTES, size + 1, FRAME_BYTES):
        yield from (frame - 1, frame, frame + 1, frame + 23, frame + 24, frame + 25)
    yield size


async def cut_what_is_ahead(tmp_path: Path, stride: int) -> None:
    data, ahead, kept = await written(tmp_path / "log.db")
    counts: dict[int, int] = {}
    for cut in sorted({cut for cut in cuts(len(ahead), stride) if cut <= len(ahead)}):
        found = await read_cut(tmp_path / "cut", data, ahead[:cut])
        assert found == kept[: len(found)]
        assert whole_batches(found)
        counts[cut] = len(found)
    ordered = [counts[cut] for cut in sorted(counts)]
    assert ordered == sorted(ordered)
    assert ordered[-1] == len(kept)
    assert len(set(ordered)) == 7  # all that is in the file, and one batch a commit


async def test_a_cut_write_ahead_file_leaves_a_beginning_in_whole_batches(
    tmp_path: Path,
) -> None:
    await cut_what_is_ahead(tmp_path, STRIDE * 5)


@pytest.mark.long
async def test_a_write_ahead_file_cut_at_every_byte_leaves_whole_batches(
    tmp_path: Path,
) -> None:
    await cut_what_is_ahead(tmp_path, 1)


async def cut_the_file(tmp_path: Path, stride: int) -> None:
    """Of a log that was closed: no byte of it may be missing, save all of them."""
    data, ahead, kept = await written(tmp_path / "log.db")
    assert await read_cut(tmp_path / "cut", data, ahead) == kept
    closed = (tmp_path / "cut" / "log.db").read_bytes()
    assert await read_cut(tmp_path / "cut", closed, None) == kept
    places = {*range(1, len(closed), stride), *range(1, 120), len(closed) - 1}
    places |= set(range(PAGE_BYTES, len(closed), PAGE_BYTES))
    for cut in sorted(places):
        with pytest.raises(UnsafeLogError, match="expected a whole log"):
            await read_cut(tmp_path / "cut", closed[:cut], None)


async def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    await cut_the_file(tmp_path, STRIDE)


@pytest.mark.long
async def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    await cut_the_file(tmp_path, 1)


async def test_a_cut_file_beside_a_write_ahead_file_is_refused_or_whole(
    tmp_path: Path,
) -> None:
    data, ahead, kept = await written(tmp_path / "log.db")
    refused = 0
    for cut in range(0, len(data), STRIDE * 3):
        try:
            assert await read_cut(tmp_path / "cut", data[:cut], ahead) == kept
        except LogError as error:
            assert str(error).startswith("expected "), error  # noqa: PT017 (either will do)
            refused += 1
    assert refused > 10


async def test_an_emptied_file_beside_its_write_ahead_file_is_not_made_anew(
    tmp_path: Path,
) -> None:
    _, ahead, _ = await written(tmp_path / "log.db")
    with pytest.raises(UnsafeLogError, match="but 0 bytes beside a write-ahead file"):
        await read_cut(tmp_path / "cut", b"", ahead)
    assert (tmp_path / "cut" / "log.db-wal").read_bytes() == ahead


async def test_an_empty_file_is_a_new_log_and_none_where_one_must_be(
    tmp_path: Path,
) -> None:
    assert await read_cut(tmp_path / "cut", b"", None) == []
    log = EmbeddedLog(lay_down(tmp_path / "cut", b"", None))
    with pytest.raises(LogUnavailableError, match="nobody has made it yet"):
        await log.open(create=False)
    await log.close()


# --- what tells a lost tail -----------------------------------------------------------


async def log_behind_its_store(tmp_path: Path) -> tuple[EmbeddedLog, MemoryStore]:
    """A log whose last commit is gone, and a store that has folded it."""
    history, store = History(4), MemoryStore()
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open(create=True)
    appender = await log.appender(0)
    for offset in range(0, 100, 10):
        await appender.append(
            [
                NewRecord(key=found.key, value=found.value, headers=found.headers)
                for found in history.records(offset, offset + 10)
            ]
        )
    data, ahead = content_of(tmp_path / "log.db")
    await log.close()
    fold_to(store, history, 100)
    log = EmbeddedLog(lay_down(tmp_path / "cut", data, ahead[:-FRAME_BYTES]))
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
        await projector.ended()
    assert "offset 100" in projector.stopped[0]
    await projector.stop()
    await log.close()

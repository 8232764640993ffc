"""Scenarios on a disk of a few megabytes, which a test runs in a process of their own.

`python -m tests.faults.small_disk SCENARIO FOLDER`, where FOLDER is on the small disk.
A ballast file fills the disk until the scenario deletes it. Each scenario asserts.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogError, StoreError
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.store.rocks.rocks_history import assert_same
from tests.faults.folding_process import open_store
from tests.faults.histories import History, fold_to
from tests.log.conformance import batch, read_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.store.rocks.store import RocksStore

DISK_BYTES = 3 << 20
LIMIT_S = 60
EVENTS_MOST = 200_000
PROJECTED = 12_000


class Ballast:
    """A file that fills the disk but for so many bytes."""

    def __init__(self, folder: Path, room: int) -> None:
        self._path = folder / "ballast"
        with self._path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4_096))
        with self._path.open("rb+") as file:
            file.truncate(max(0, self._path.stat().st_size - room))

    def drop(self) -> None:
        """Delete it, so that there is room again."""
        self._path.unlink()


async def fill(store: RocksStore, history: History) -> None:
    """Fold and flush until the disk refuses."""
    for offset in range(100, EVENTS_MOST, 100):
        fold_to(store, history, offset)
        await store.flush(durable=True)


async def store(folder: Path) -> None:
    """A store on a full disk is neither damaged nor ahead of itself."""
    ballast, history, model = Ballast(folder, 200_000), History(3), MemoryStore()
    disk_store = open_store(folder / "store")
    with pytest.raises(StoreError, match="No space left"):
        await fill(disk_store, history)
    fold_to(model, history, disk_store.position.offset)
    assert_same(disk_store, model)
    with pytest.raises(StoreError, match="No space left"):
        await disk_store.close()
    ballast.drop()
    disk_store = open_store(folder / "store")
    assert disk_store.notes == ()
    assert 0 < disk_store.position.offset <= model.position.offset
    older = MemoryStore()
    fold_to(older, history, disk_store.position.offset)
    assert_same(disk_store, older)
    fold_to(disk_store, history, model.position.offset)
    await disk_store.flush(durable=True)
    assert_same(disk_store, model)
    await disk_store.close()


async def projector(folder: Path) -> None:
    """A projector on a full disk goes on by itself when there is room."""
    history, model = History(3), MemoryStore()
    events = MemoryLog()
    await events.open(create=True)
    appender = await events.appender(0)
    for record in history.records(0, PROJECTED):
        copied = NewRecord(key=record.key, value=record.value, headers=record.headers)
        await appender.append([copied])
    fold_to(model, history, PROJECTED)
    tries = asyncio.Queue[int]()
    ballasts: list[Ballast] = []

    async def open_partition(partition: int) -> SnapshotStore:
        tries.put_nowait(partition)
        opened = open_store(folder / "store")
        if not ballasts:
            ballasts.append(Ballast(folder, 0))  # from now on nothing can be written
        return opened

    projecting = Projector(events, open_partition)
    projecting.start([0])
    async with asyncio.timeout(LIMIT_S):
        for _ in range(3):
            await tries.get()
        ballasts[0].drop()
        await projecting.wait_until_caught_up()
    await projecting.stop()
    assert projecting.stopped == {}
    reopened = open_store(folder / "store")
    assert_same(reopened, model)
    await reopened.close()


async def log(folder: Path) -> None:
    """A log on a full disk refuses batches whole, and takes the next with room."""
    ballast, path = Ballast(folder, 400_000), folder / "log.db"
    embedded = EmbeddedLog(path)
    await embedded.open(create=True)
    appender = await embedded.appender(0)
    appended: list[str] = []

    async def fill_log() -> None:
        for number in range(EVENTS_MOST):
            size = 1 + number % 5
            assert await appender.append(batch(f"{number}", size)) == len(appended)
            appended.extend(f"{number}:{i}/{size}" for i in range(size))

    with pytest.raises(LogError, match="full"):
        await fill_log()
    assert appended
    for name in ("first", "second"):
        appender = await embedded.appender(0)
        large = NewRecord(key=b"k", value=bytes(500_000), headers=())
        with pytest.raises(LogError, match="full"):
            await appender.append([*batch(name, 2), large])
    assert await read_all(embedded) == appended
    ballast.drop()
    appender = await embedded.appender(0)
    assert await appender.append(batch("behind", 2)) == len(appended)
    appended += ["behind:0/2", "behind:1/2"]
    await embedded.close()
    reopened = EmbeddedLog(path)
    await reopened.open(create=False)
    assert await read_all(reopened) == appended
    assert await reopened.end_offset(Topic.EVENTS, 0) == len(appended)
    await reopened.close()


async def new_log(folder: Path) -> None:
    """A log that cannot be created is reported, and created when there is room."""
    ballast = Ballast(folder, 0)
    embedded = EmbeddedLog(folder / "log.db")
    with pytest.raises(LogError, match="expected to use"):
        await embedded.open(create=True)
    ballast.drop()
    await embedded.open(create=True)
    assert await (await embedded.appender(0)).append(batch("first", 1)) == 0
    await embedded.close()


SCENARIOS: dict[str, Callable[[Path], Awaitable[None]]] = {
    scenario.__name__: scenario for scenario in (store, projector, log, new_log)
}


async def _run(name: str, folder: Path) -> None:
    await SCENARIOS[name](folder)
    sys.stdout.write(f"{name}: held\n")


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2])))

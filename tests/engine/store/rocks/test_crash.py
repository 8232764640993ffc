"""What a crash, or damage, leaves of a store in RocksDB: never wrong rows."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import Header
from sayiir_es.engine.store.memory import MemoryStore
from tests.engine.store.crash_writer import apply_event, open_store
from tests.engine.store.rocks.rocks_history import (
    assert_same,
    fold_to,
    names_in,
    start_writer,
    write_history,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.store.rocks.store import RocksStore

KILLS = 15


# --- crashes --------------------------------------------------------------------------


def write_and_kill(path: Path, lines: int) -> int:
    """Let a process write and kill it; the last position that was durable."""
    durable = 0
    with start_writer(path) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            word, _, offset = writer.stdout.readline().partition(" ")
            if word == "durable":
                durable = int(offset)
        writer.kill()
    return durable


async def test_killed_at_any_moment_it_holds_the_rows_of_its_position(
    tmp_path: Path,
) -> None:
    path, model, chance = tmp_path / "store", MemoryStore(), random.Random(7)  # noqa: S311
    for _ in range(KILLS):
        durable = write_and_kill(path, chance.randint(1, 60))
        store = open_store(path)
        assert store.notes == ()
        assert store.position.offset >= durable
        fold_to(model, store.position.offset)
        assert_same(store, model)
        await store.close()
    assert model.position.offset > 1_000


async def test_closed_between_apply_and_advance_it_keeps_the_position_before(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store")
    apply_event(store, 0)
    await store.flush()
    apply_event(store, 1)
    store.apply("i0/0", {"h": Header(run=9, sequence=9, at=9, phase="running")})
    await store.close()
    store, model = open_store(tmp_path / "store"), MemoryStore()
    fold_to(model, 1)
    assert_same(store, model)
    await store.close()


async def test_a_cancelled_durable_flush_does_not_stand_in_the_way_of_close(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store")
    for round_number in range(20):
        for offset in range(round_number * 100, round_number * 100 + 100):
            apply_event(store, offset)
        flushing = asyncio.create_task(store.flush(durable=True))
        await asyncio.sleep(0)
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
    await store.close()
    store, model = open_store(tmp_path / "store"), MemoryStore()
    fold_to(model, 2_000)
    assert_same(store, model)
    await store.close()


async def fill(store: RocksStore) -> None:
    """Fold on and flush until the disk refuses."""
    for offset in range(5_000):
        apply_event(store, offset)
        if offset % 100 == 99:
            await store.flush(durable=True)


async def test_a_full_disk_loses_nothing_and_is_no_damage(tmp_path: Path) -> None:
    store, model = open_store(tmp_path / "store"), MemoryStore()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            await fill(store)
        fold_to(model, store.position.offset)
        assert_same(store, model)
        with pytest.raises(StoreError, match="File too large"):
            await store.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store, model = open_store(tmp_path / "store"), MemoryStore()
    assert store.notes == ()
    fold_to(model, store.position.offset)
    assert_same(store, model)
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="it was closed"):
        store.rows("a")
    assert open_store(tmp_path / "store").notes == ()


# --- damage ---------------------------------------------------------------------------


async def read_damaged(path: Path, model: MemoryStore) -> str:
    """What became of a store in which something was changed: never wrong rows."""
    store = open_store(path)
    try:
        if store.notes:
            assert_same(store, MemoryStore())
            return "set aside"
        if store.position != model.position:
            older = MemoryStore()
            fold_to(older, store.position.offset)
            model = older
        assert_same(store, model)
    except StoreError:
        await store.close()
        store = open_store(path)
        assert "set aside" in store.notes[0]
        assert_same(store, MemoryStore())
        return "found when read"
    else:
        return "whole"
    finally:
        await store.close()


@pytest.mark.parametrize("change", ["flip", "cut", "delete"])
async def test_a_damaged_file_never_makes_wrong_rows(
    tmp_path: Path, change: str
) -> None:
    original, model, chance = tmp_path / "original", MemoryStore(), random.Random(3)  # noqa: S311
    await write_history(original, 1_500)
    fold_to(model, 1_500)
    assert await read_damaged(original, model) == "whole"
    results: set[str] = set()
    for file in sorted(original.iterdir()):
        for _ in range(4 if change == "flip" else 1):
            copy = tmp_path / "copy"
            shutil.copytree(original, copy)
            data = bytearray(file.read_bytes())
            if not data:
                shutil.rmtree(copy)
                continue
            where = chance.randrange(len(data))
            if change == "delete":
                (copy / file.name).unlink()
            elif change == "cut":
                (copy / file.name).write_bytes(data[:where])
            else:
                data[where] ^= 1 << chance.randrange(8)
                (copy / file.name).write_bytes(data)
            results.add(await read_damaged(copy, model))
            shutil.rmtree(copy, ignore_errors=True)
    assert "set aside" in results
    assert "whole" in results


async def test_of_damaged_stores_only_the_last_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for _ in range(3):
        await write_history(path, 200)
        (path / "CURRENT").write_text("nonsense")
        store = open_store(path)
        assert "it was set aside as" in store.notes[0]
        assert store.position == Position()
        await store.close()
    assert names_in(tmp_path) == [
        "store",
        "store.damaged-3",
    ]


async def test_other_peoples_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"it holds 'thesis\.txt'"):
        open_store(tmp_path)
    assert names_in(tmp_path) == ["thesis.txt"]

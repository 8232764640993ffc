"""What is special about the store in RocksDB: whose it is, and its limits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.engine.store import cache
from sayiir_es.engine.store.cache import CacheLimits
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks.store import RocksStore
from tests.engine.store.crash_writer import IDENTITY, open_store
from tests.engine.store.rocks.rocks_history import (
    assert_same,
    fold_to,
    names_in,
    start_writer,
    write_history,
)
from tests.engine.store.store_contract import running

if TYPE_CHECKING:
    from pathlib import Path


# --- whose store it is ----------------------------------------------------------------


@pytest.mark.parametrize(
    "identity",
    [
        replace(IDENTITY, cluster_id="another"),
        replace(IDENTITY, events_topic_id="another"),
        replace(IDENTITY, partition=1),
        replace(IDENTITY, partitions=2),
        replace(IDENTITY, fold_version=IDENTITY.fold_version + 1),
    ],
)
async def test_a_store_of_another_log_or_fold_is_replaced_by_an_empty_one(
    tmp_path: Path, identity: object
) -> None:
    assert isinstance(identity, type(IDENTITY))
    await write_history(tmp_path / "store", 300)
    store = RocksStore.open(tmp_path / "store", identity)
    assert "it was deleted" in store.notes[0]
    assert_same(store, MemoryStore())
    await store.close()
    assert names_in(tmp_path) == ["store"]


async def test_a_copy_is_the_same_store(tmp_path: Path) -> None:
    await write_history(tmp_path / "store", 500)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store, model = open_store(tmp_path / "copy"), MemoryStore()
    fold_to(model, 500)
    assert store.notes == ()
    assert_same(store, model)
    await store.close()


async def test_a_store_in_use_is_refused_in_words_and_left_alone(
    tmp_path: Path,
) -> None:
    path, model = tmp_path / "store", MemoryStore()
    with start_writer(path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StoreError, match="another one holds its lock"):
            open_store(path)
        writer.kill()
    store = open_store(path)
    with pytest.raises(StoreError, match="another one holds its lock"):
        open_store(path)
    assert store.notes == ()
    fold_to(model, store.position.offset)
    assert_same(store, model)
    await store.close()


# --- limits ---------------------------------------------------------------------------


async def test_finished_instances_leave_memory(tmp_path: Path) -> None:
    store = RocksStore.open(tmp_path / "store", IDENTITY)
    for number in range(100_000):
        instance_id = f"i{number}"
        store.apply(instance_id, running(1))
        store.apply(instance_id, {**running(2, phase="completed"), "c": None})
        store.advance(Position(offset=number + 1))
        if number % 2_000 == 1_999:
            await store.flush()
            assert store.cached_instances == 0
    assert list(store.owing()) == []
    assert sum(1 for _ in store.instances()) == 100_000
    await store.close()


async def test_clean_instances_leave_memory_the_least_recently_used_first(
    tmp_path: Path,
) -> None:
    store = RocksStore.open(
        tmp_path / "store", IDENTITY, limits=CacheLimits(instances=10)
    )
    for number in range(50):
        store.apply(f"i{number}", running(number + 1))
    store.advance(Position(offset=1))
    assert store.cached_instances == 50
    cached_rows = store.rows("i0")
    await store.flush()
    assert store.cached_instances == 10
    assert store.rows("i0") is cached_rows
    for number in range(50):
        assert store.rows(f"i{number}").get("h") == running(number + 1)["h"]
    await store.close()


async def test_the_stores_of_a_process_share_the_bytes_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BUDGET", cache.CacheBudget(1_000_000))
    stores = [RocksStore.open(tmp_path / name, IDENTITY) for name in "ab"]
    for store in stores:
        for number in range(8):
            store.apply(f"i{number}", {**running(1), "vresult:a": bytes(200_000)})
        store.advance(Position(offset=1))
        await store.flush()
    assert [store.cached_instances for store in stores] == [2, 2]
    await stores[0].close()
    for number in range(8):
        assert stores[1].rows(f"i{number}").get("vresult:a") == bytes(200_000)
    await stores[1].flush()
    assert stores[1].cached_instances == 4
    await stores[1].close()


async def test_rows_in_hand_outlive_the_cache(tmp_path: Path) -> None:
    limits = CacheLimits(instances=0, total_bytes=0, instance_bytes=0)
    store = RocksStore.open(tmp_path / "store", IDENTITY, limits=limits)
    rows = store.rows("a")
    for sequence in range(1, 20):
        store.apply("a", running(sequence))
        store.advance(Position(offset=sequence))
        await store.flush()
        assert store.cached_instances == 0
        assert rows.get("h") == running(sequence)["h"]
        assert store.rows("a") is rows
    await store.close()


async def test_large_values_leave_memory_before_small_ones_are_many(
    tmp_path: Path,
) -> None:
    limits = CacheLimits(total_bytes=1_000_000, instance_bytes=300_000)
    store = RocksStore.open(tmp_path / "store", IDENTITY, limits=limits)
    for number in range(10):
        store.apply(f"i{number}", {**running(1), "vresult:a": bytes(200_000)})
    store.apply("big", {**running(1), "vresult:a": bytes(400_000)})
    store.advance(Position(offset=1))
    await store.flush()
    assert store.cached_instances == 4
    assert store.rows("big").get("vresult:a") == bytes(400_000)
    for number in range(10):
        assert store.rows(f"i{number}").get("vresult:a") == bytes(200_000)
    await store.flush()
    assert store.cached_instances == 4
    await store.close()


async def test_a_row_changed_many_times_is_written_once(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    for sequence in range(1, 1_001):
        store.apply("a", {**running(sequence), f"vgone{sequence}": b"x"})
        store.apply("a", {f"vgone{sequence}": None})
    store.advance(Position(offset=1))
    assert store.dirty_rows == 2 + 1_000
    await store.flush(durable=True)
    assert store.dirty_rows == store.dirty_bytes == 0
    assert sorted(store.rows("a").keys("")) == ["c", "h"]
    await store.close()

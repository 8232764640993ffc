"""Stores that are cut, incomplete, of another build or of another program.

None is ever read as if it were whole. What can be folded again is replaced by an empty
store, with a note for the operator; a directory with other files is not changed.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rocksdict import Options, Rdict

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.codec import encode_position, encode_row
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord
from tests.engine.store.rocks.rocks_history import assert_same, names_in
from tests.faults.folding_process import IDENTITY, open_store
from tests.faults.histories import History, fold_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es.engine.store.port import SnapshotStore

EVENTS = 400
LIMIT_S = 10


async def write_store(path: Path) -> MemoryStore:
    """Make a store that has folded `EVENTS` events, and close it; returns its model."""
    store, model = open_store(path), MemoryStore()
    for offset in range(100, EVENTS + 1, 100):
        fold_to(store, History(3), offset)
        await store.flush(durable=True)
    await store.close()
    fold_to(model, History(3), EVENTS)
    return model


async def result_of(path: Path, model: MemoryStore) -> str:
    """What becomes of a store: whole, older, or replaced by an empty one."""
    store = open_store(path)
    try:
        if store.notes:
            assert store.position == Position()
            return "replaced"
        model_before = MemoryStore()
        fold_to(model_before, History(3), store.position.offset)
        assert_same(store, model_before)
    except StoreError:
        await store.close()
        store = open_store(path)
        assert "set aside" in store.notes[0]
        return "replaced"
    else:
        return "whole" if store.position == model.position else "older"
    finally:
        await store.close()


# --- cut and incomplete ---------------------------------------------------------------


async def test_an_empty_directory_becomes_an_empty_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert (store.notes, store.position) == ((), Position())
    await store.close()
    assert open_store(tmp_path / "a" / "b").notes == ()


async def test_a_store_without_one_of_its_files_is_whole_or_replaced(
    tmp_path: Path,
) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    model = await write_store(original)
    results: dict[str, str] = {}
    for name in names_in(original):
        shutil.copytree(original, copy)
        (copy / name).unlink()
        results[name] = await result_of(copy, model)
        for leftover in (path for path in names_in(tmp_path) if path != original.name):
            shutil.rmtree(tmp_path / leftover)
    print(results)  # noqa: T201
    required_files = [
        name for name in results if name.endswith(".sst") or "MANIFEST" in name
    ]
    assert {results[name] for name in required_files} == {"replaced"}
    assert results["LOCK"] == results["IDENTITY"] == "whole"
    assert results["CURRENT"] == "replaced"


async def test_a_store_whose_files_are_cut_is_whole_older_or_replaced(
    tmp_path: Path,
) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    model = await write_store(original)
    results: set[tuple[str, str]] = set()
    for name in names_in(original):
        size = (original / name).stat().st_size
        for length in sorted({0, 1, size // 4, size // 2, size - 9, size - 1}):
            if not 0 <= length < size:
                continue
            shutil.copytree(original, copy)
            (copy / name).write_bytes((original / name).read_bytes()[:length])
            results.add((name.rpartition(".")[2], await result_of(copy, model)))
            for leftover in (
                path for path in names_in(tmp_path) if path != original.name
            ):
                shutil.rmtree(tmp_path / leftover)
    print(sorted(results))  # noqa: T201
    assert ("sst", "replaced") in results
    assert ("sst", "whole") not in results
    assert ("CURRENT", "replaced") in results
    assert ("CURRENT", "whole") not in results


# --- of another build, or another program ---------------------------------------------


def write_keys(path: Path, pairs: dict[bytes, bytes]) -> None:
    """Write into a RocksDB, as any program can."""
    database = Rdict(str(path), Options(raw_mode=True))
    for key, value in pairs.items():
        database[key] = value
    database.close()


UNKNOWN = b"\x93\x63\x01\x02"
"""An array with a tag that no record has."""

TOO_LONG = b"\x93\x08\x05\xa3new"
"""A `Sleeping` with a field more."""

STAMP = encode_position(IDENTITY, Position(offset=7))
ROW = keys.ROW + keys.of_instance("i") + b"h"


@pytest.mark.parametrize(
    "row", [UNKNOWN, TOO_LONG, b"\xc1", b""], ids=["kind", "field", "msgpack", "empty"]
)
async def test_a_row_that_this_build_cannot_read_makes_the_store_give_way(
    tmp_path: Path, row: bytes
) -> None:
    write_keys(tmp_path / "store", {keys.POSITION: STAMP, ROW: row})
    store = open_store(tmp_path / "store")
    assert store.position == Position(offset=7)
    with pytest.raises(StoreError, match="expected "):
        store.rows("i").get("h")
    await store.close()
    store = open_store(tmp_path / "store")
    assert "set aside" in store.notes[0]
    assert store.position == Position()
    await store.close()


@pytest.mark.parametrize(
    "pairs",
    [
        {keys.POSITION: UNKNOWN},
        {keys.POSITION: b""},
        {keys.POSITION: encode_row(b"x"), ROW: encode_row(b"x")},
        {ROW: encode_row(b"x")},
        {b"somebody": b"else"},
    ],
    ids=["future stamp", "no stamp", "another stamp", "rows alone", "other keys"],
)
async def test_a_database_without_our_stamp_is_set_aside(
    tmp_path: Path, pairs: dict[bytes, bytes]
) -> None:
    write_keys(tmp_path / "store", pairs)
    store = open_store(tmp_path / "store")
    assert "set aside" in store.notes[0]
    assert (store.position, list(store.instances())) == (Position(), [])
    await store.close()
    assert names_in(tmp_path) == ["store", "store.damaged-1"]


@pytest.mark.parametrize("fold_version", [-1, 1, 1_000])
async def test_a_store_of_any_other_fold_version_is_folded_again(
    tmp_path: Path, fold_version: int
) -> None:
    model = await write_store(tmp_path / "store")
    other_identity = replace(
        IDENTITY, fold_version=IDENTITY.fold_version + fold_version
    )
    store = RocksStore.open(tmp_path / "store", other_identity)
    assert "it was deleted" in store.notes[0]
    fold_to(store, History(3), EVENTS)
    assert_same(store, model)
    await store.close()


# --- a projector goes on --------------------------------------------------------------


async def log_of(history: History, end: int) -> MemoryLog:
    """A memory log with so many events."""
    log = MemoryLog()
    await log.open(create=True)
    appender = await log.appender(0)
    await appender.append(
        [
            NewRecord(key=record.key, value=record.value, headers=record.headers)
            for record in history.records(0, end)
        ]
    )
    return log


def flip_a_block(path: Path) -> None:
    """Damage the first block of each table: found when it is read."""
    for table in path.glob("*.sst"):
        data = bytearray(table.read_bytes())
        data[40] ^= 1
        table.write_bytes(data)


def cut_the_tables(path: Path) -> None:
    """Cut each table: found when the store is opened."""
    for table in path.glob("*.sst"):
        table.write_bytes(table.read_bytes()[:100])


@pytest.mark.parametrize("damage", [flip_a_block, cut_the_tables])
async def test_a_projector_folds_a_damaged_store_anew(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path, model = tmp_path / "store", await write_store(tmp_path / "store")
    damage(path)
    log = await log_of(History(3), EVENTS + 200)
    fold_to(model, History(3), EVENTS + 200)

    async def open_partition(partition: int) -> SnapshotStore:
        assert partition == 0
        return open_store(path)

    projector = Projector(log, open_partition)
    projector.start([0])
    async with asyncio.timeout(LIMIT_S):
        await projector.wait_until_caught_up()
    await projector.stop()
    assert projector.stopped == {}
    store = open_store(path)
    assert store.notes == ()
    assert_same(store, model)
    await store.close()
    assert "store.damaged-1" in names_in(tmp_path)

"""A log that was truncated and has grown again beyond what a store has folded.

An unclean election does it, or an older copy of a file that was put back. By its offset
such a store looks right; it is of events that are in the log no more. No reader may
believe it: owner, projector, client, `audit verify`.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, run_durable_workflow, task
from sayiir_es.audit import verify
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.client.projection import Projection
from sayiir_es.client.stores import FolderStores, MemoryStores, store_identity
from sayiir_es.core.model.errors import LogWentBackwardsError, StoreError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import Position
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.owner.claim_records import ClaimRecords
from sayiir_es.engine.owner.claiming import Claimer
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.engine.store.rocks.view import StoreView
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import Chunk, NewRecord, Record, Topic
from sayiir_es.wire.events import decode_event
from tests.audit.instance_logs import claimed, record
from tests.captured_logs import capture_logs
from tests.engine.store.rocks.rocks_history import assert_same
from tests.faults.histories import History, fold_to

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.client.stores import Stores
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import LogIdentity

KEPT, FOLDED, END = 100, 180, 260
"""The log lost what stood from `KEPT` on; the store has folded up to `FOLDED`."""

LIMIT_S = 10


def regrown_records() -> list[Record]:
    """The first events of one history, then a claim, then those of another."""
    records = History(4).records(0, KEPT)
    at = decode_event(records[-1].value or b"").at
    records = [*records, record(KEPT, claimed(at))]
    for one in History(5).records(0, 2 * END):
        event = decode_event(one.value or b"")
        if isinstance(event.body, PartitionClaimed):
            continue
        at = max(at, event.at)
        instance_id = event.instance_id and f"other/{event.instance_id}"
        event = replace(event, at=at, claim=KEPT, instance_id=instance_id)
        records.append(record(len(records), event))
    return records[:END]


async def log_of(records: list[Record]) -> tuple[MemoryLog, LogIdentity]:
    """A log with these events."""
    log = MemoryLog()
    identity = await log.open(create=True)
    appender = await log.appender(0)
    for one in records:
        new = NewRecord(key=one.key, value=one.value, headers=one.headers)
        await appender.append([new])
    return log, identity


def fold_all(store: SnapshotStore, records: list[Record]) -> None:
    """Fold events into a store, from where it must begin to read."""
    fold = Fold(store, 0, 1)
    fold.apply(Chunk(start=fold.start, end=len(records), records=records[fold.start :]))


def model_of(records: list[Record]) -> MemoryStore:
    """A store that was folded from nothing."""
    model = MemoryStore()
    fold_all(model, records)
    return model


def check_same(store: SnapshotStore, model: MemoryStore) -> None:
    assert isinstance(store, MemoryStore | RocksStore)
    assert_same(store, model)


async def stale_stores(stores: Stores, identity: LogIdentity) -> Stores:
    """Stores of which that of partition 0 has folded what was truncated."""
    store = stores.open(store_identity(identity, 0))
    fold_to(store, History(4), FOLDED)
    await store.flush(durable=True)
    if not isinstance(store, MemoryStore):
        await store.close()
    return stores


@pytest.fixture(params=["memory", "folder"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return MemoryStores() if request.param == "memory" else FolderStores(tmp_path)


# --- the fold -------------------------------------------------------------------------


def test_a_fold_that_goes_on_with_its_own_log_confirms_it() -> None:
    records = History(4).records(0, END)
    for folded in range(END):
        store = MemoryStore()
        fold_to(store, History(4), folded)
        fold_all(store, records)
        assert not store.is_damaged
        assert_same(store, model_of(records))


def test_a_store_beyond_a_regrown_log_is_found_out_wherever_it_stands() -> None:
    records = regrown_records()
    for folded in range(KEPT + 1, END):
        store = MemoryStore()
        fold_to(store, History(4), folded)
        with pytest.raises(StoreError, match="was truncated and has grown again"):
            fold_all(store, records)
        assert store.is_damaged
        assert store.position == Position()


def test_a_store_that_passed_what_counts_now_is_found_out() -> None:
    records = History(4).records(0, KEPT)
    late = replace(decode_event(records[-1].value or b""), claim=3)  # of nobody
    store = MemoryStore()
    fold_all(store, [*records, record(KEPT, late), record(KEPT + 1, late)])
    assert (store.position.last, store.position.offset) == (KEPT - 1, KEPT + 2)
    with pytest.raises(StoreError, match=f"offset {KEPT} it was passed, and counts"):
        fold_all(store, regrown_records())


def test_a_claim_with_another_digest_finds_out_a_store() -> None:
    records = regrown_records()
    maker = ClaimRecords(partition=0, owner_id="w", build="b")
    model = model_of(records)
    records.append(record(END, maker.claim(model.position, model.position.at)))
    store = MemoryStore()
    fold_to(store, History(4), FOLDED)
    fold = Fold(store, 0, 1)  # as if its reader began behind what the store has folded
    with pytest.raises(StoreError, match="a claim names another digest"):
        fold.apply(Chunk(start=FOLDED, end=END + 1, records=records[FOLDED:]))
    assert store.is_damaged
    assert not model_of(records).is_damaged


def test_a_log_that_contradicts_itself_is_folded_and_logged() -> None:
    records = History(4).records(0, KEPT)
    maker = ClaimRecords(partition=0, owner_id="w", build="b")
    wrong = replace(model_of(records).position, digest=b"x" * 32)
    records = [*records, record(KEPT, maker.claim(wrong, wrong.at))]
    with capture_logs() as lines:
        store = model_of(records)
    assert [line["event"] for line in lines] == ["partition.checkpoint_differed"]
    assert (store.position.offset, store.is_damaged) == (KEPT + 1, False)


# --- every reader ---------------------------------------------------------------------


async def test_an_owner_does_not_claim_with_a_store_of_a_truncated_log(
    stores: Stores,
) -> None:
    log, identity = await log_of(regrown_records())
    await stale_stores(stores, identity)
    store = stores.open(store_identity(identity, 0))

    async def folded() -> None:
        await store.flush()

    claimer = Claimer(log, store, 0, event=lambda: claimed(10**15), folded=folded)
    with pytest.raises(StoreError, match="to be folded from this log"):
        await claimer.claim("w")
    await store.close()
    assert await log.end_offset(Topic.EVENTS, 0) == END
    with capture_logs() as lines:
        again = stores.open(store_identity(identity, 0))
    assert again.position == Position()
    if isinstance(stores, FolderStores):
        [line] = lines
        assert line["event"] == "store.replaced"
        assert "was truncated and has grown again" in line["reason"]
        assert "it was set aside as" in line["reason"]
    await again.close()


async def test_a_projector_puts_a_store_of_a_truncated_log_aside(
    stores: Stores,
) -> None:
    log, identity = await log_of(regrown_records())
    await stale_stores(stores, identity)
    opened: list[SnapshotStore] = []

    async def open_store(partition: int) -> SnapshotStore:
        opened.append(stores.open(store_identity(identity, partition)))
        return opened[-1]

    projector = Projector(log, open_store)
    projector.start([0])
    async with asyncio.timeout(LIMIT_S):
        await projector.wait_until_caught_up()
    assert projector.stopped == {}
    assert len(opened) == 2
    check_same(opened[-1], model_of(regrown_records()))
    await projector.stop()


@pytest.mark.parametrize("end", [FOLDED, END])
async def test_a_client_puts_its_store_of_a_truncated_log_aside(
    stores: Stores, end: int
) -> None:
    records = regrown_records()[:end]
    log, identity = await log_of(records)
    await stale_stores(stores, identity)

    async def open_store(partition: int) -> SnapshotStore:
        return stores.open(store_identity(identity, partition))

    projection = Projection(log, open_store)
    check_same(await projection.read_to_end(0), model_of(records))
    await projection.close()


async def test_a_client_whose_store_is_ahead_of_the_log_says_so(
    stores: Stores,
) -> None:
    log, identity = await log_of(regrown_records()[: FOLDED - 1])
    await stale_stores(stores, identity)

    async def open_store(partition: int) -> SnapshotStore:
        return stores.open(store_identity(identity, partition))

    projection = Projection(log, open_store)
    with pytest.raises(LogWentBackwardsError, match="to reach offset 180"):
        await projection.read_to_end(0)
    await projection.close()


# --- an older copy of a file ----------------------------------------------------------


@task
def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).then(double).build()


def run_some(path: Path, name: str, count: int) -> None:
    with closing(EmbeddedBackend(path)) as backend:
        for number in range(count):
            run_durable_workflow(doubling, f"{name}-{number}", number, backend=backend)
    # Who closes a file that is replaced meanwhile deletes the new write-ahead file.
    for thread in threading.enumerate():
        if thread.name == "sayiir-watch":
            thread.join(LIMIT_S)


def test_a_store_of_a_file_that_was_put_back_is_replaced(tmp_path: Path) -> None:
    path, state = tmp_path / "log.db", tmp_path / "log.db.state"
    run_some(path, "kept", 3)
    with closing(sqlite3.connect(path)) as file:  # all of it in the file itself
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    shutil.copy(path, tmp_path / "copy.db")
    run_some(path, "lost", 5)
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", path)
    state.rename(tmp_path / "stale")
    run_some(path, "new", 12)  # by somebody who has no store yet
    shutil.rmtree(state)
    (tmp_path / "stale").rename(state)
    found = [
        one.invariant for one in verify(f"file:{path}", state_dir=state).violations
    ]
    assert "I20" in found

    with capture_logs() as lines:
        run_some(path, "last", 1)
    assert [line["event"] for line in lines if "store" in line["event"]] == [
        "partition.store_failed",
        "store.replaced",
    ]
    assert verify(f"file:{path}", state_dir=state).holds
    with StoreView(state / "0") as view:
        found = [name.partition("-")[0] for name, _ in view.instances()]

    assert Counter(found) == {"kept": 3, "new": 12, "last": 1}

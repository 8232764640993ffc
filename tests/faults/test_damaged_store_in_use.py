"""A store that is damaged where nobody looks when it is opened: found when it is read.

Who reads it, an owner or a client, sets it aside and folds the log again; the caller
sees nothing of it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, resume_workflow, run_durable_workflow, send_signal, task
from sayiir_es.audit import verify
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.client.projection import Projection, read_again
from sayiir_es.client.stores import FolderStores, store_identity
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord
from tests.captured_logs import capture_logs
from tests.faults.histories import History, fold_to, folded

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.store.port import SnapshotStore

INSTANCES = 8


@task
def double(number: int) -> int:
    return number * 2


approving = Flow("approving").then(double).wait_for_signal("go").build()


def flip_rows(store: Path) -> None:
    """Flip the bits of the first rows in every table of a store."""
    for file in store.glob("*.sst"):
        data = file.read_bytes()
        flipped = bytes(byte ^ 0xFF for byte in data[8:24])
        file.write_bytes(data[:8] + flipped + data[24:])


def test_an_owner_sets_a_store_aside_that_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(EmbeddedBackend(path)) as backend:
        for number in range(INSTANCES):
            run_durable_workflow(approving, f"i{number}", number, backend=backend)
    flip_rows(tmp_path / "log.db.state" / "0")
    with closing(EmbeddedBackend(path)) as backend, capture_logs() as lines:
        for number in range(INSTANCES):
            send_signal(f"i{number}", "go", number, backend=backend)
            status = resume_workflow(approving, f"i{number}", backend)
            assert (status.status, status.output) == ("completed", number)
    events = [line["event"] for line in lines]
    assert events.count("store.replaced") == 1
    assert "partition.stopped" not in events
    assert verify(f"file:{path}", state_dir=tmp_path / "log.db.state").holds


@pytest.mark.parametrize("instances", [True, False])
async def test_a_client_sets_a_store_aside_that_it_cannot_read(
    tmp_path: Path, *, instances: bool
) -> None:
    log, history, stores = MemoryLog(), History(4), FolderStores(tmp_path)
    identity = store_identity(await log.open(create=True), 0)
    appender = await log.appender(0)
    for record in history.records(0, 100):
        new = NewRecord(key=record.key, value=record.value, headers=record.headers)
        await appender.append([new])
    store = stores.open(identity)
    fold_to(store, history, 90)
    await store.close()
    flip_rows(tmp_path / "0")

    async def open_store(partition: int) -> SnapshotStore:
        assert partition == 0
        return stores.open(identity)

    projection, model = Projection(log, open_store), folded(history, 100)

    async def read() -> None:
        store = await projection.read_to_end(0)
        if instances:
            assert list(store.instances()) == list(model.instances())
        for instance_id in model.instances():
            rows, expected = store.rows(instance_id), model.rows(instance_id)
            assert {*rows.keys("")} == {*expected.keys("")}

    await read_again(read)
    assert (tmp_path / "0.damaged-1").exists()
    await projection.close()

"""Logs to export, and what tests compare of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es import Flow, RetryPolicy, WorkflowClient, run_durable_workflow, task
from sayiir_es.audit.verify.log import read_to
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks.codec import encode_row
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.core.model.position import Position
    from sayiir_es.log.port import Log


@task
def double(number: int) -> int:
    return number * 2


@task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.001))
def fail(number: int) -> int:
    raise ValueError(f"bad {number}")


doubling = Flow("doubling").then(double).build()
failing = Flow("failing").then(fail).build()
approving = Flow("approving").then(double).wait_for_signal("go", timeout="1h").build()

UNREADABLE = NewRecord(
    key=b"\xff\x00", value=b"\x00no command", headers=(("a", b"\xfe"), ("a", b""))
)


def make_log(folder: Path) -> str:
    """The URL of a log in a file, with every kind of record."""
    path = folder / "log.db"
    with EmbeddedBackend(path) as backend:
        run_durable_workflow(doubling, "ended", 21, backend=backend)
        run_durable_workflow(approving, "waits", "é", backend=backend)
        WorkflowClient(backend).send_signal("early", "go", {"ok": True})
        asyncio.run(_produce(backend.open_log(), UNREADABLE))
        run_durable_workflow(failing, "failed", 3, backend=backend)
        WorkflowClient(backend).fork("ended", at=2, new_id="forked")
    return f"file:{path}"


async def _produce(log: Log, record: NewRecord) -> None:
    await log.open(create=False)
    await log.produce(Topic.COMMANDS, 0, record)
    await log.close()


async def snapshots(log: Log) -> dict[tuple[int, str], dict[str, bytes]]:
    """Every row that the fold of a log gives, by partition and instance."""
    await log.open(create=False)
    rows_by_instance: dict[tuple[int, str], dict[str, bytes]] = {}
    for partition in range(log.partitions):
        store = await folded(log, partition)
        for instance_id in store.instances():
            rows = store.rows(instance_id)
            rows_by_instance[partition, instance_id] = {
                key: encode_row(row)
                for key in rows.keys("")
                if (row := rows.get(key)) is not None
            }
    await log.close()
    return rows_by_instance


async def folded(log: Log, partition: int) -> MemoryStore:
    """The fold of a partition of an open log."""
    store = MemoryStore()
    fold = Fold(store, partition, log.partitions)
    end = await log.end_offset(Topic.EVENTS, partition)
    async for chunk in read_to(log, Topic.EVENTS, partition, 0, end):
        fold.apply(chunk)
    await store.flush()
    return store


async def position(log: Log, partition: int = 0) -> Position:
    """Where the fold of a partition stands."""
    await log.open(create=False)
    store = await folded(log, partition)
    await log.close()
    return store.position


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file of an export."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

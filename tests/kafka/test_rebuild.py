"""Stores are caches of the log: deleted, they come back byte for byte."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from rocksdict import AccessType, Options, Rdict

from sayiir_es.engine.store.rocks.keys import POSITION
from sayiir_es.engine.store.rocks.view import StoreView, stores_under
from tests.kafka.load import Load
from tests.kafka.load_run import finish, read_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def newest_stores(folder: Path) -> dict[int, Path]:
    """Partition → the store that is folded furthest, of all workers'."""
    newest: dict[int, tuple[int, Path]] = {}
    for state_dir in folder.glob("state-*"):
        for path in stores_under(state_dir):
            with StoreView(path) as view:
                best = newest.get(view.identity.partition, (-1, path))
                candidate = (view.position.offset, path)
            newest[view.identity.partition] = max(best, candidate)
    return {partition: path for partition, (_, path) in newest.items()}


def content(path: Path) -> dict[bytes, bytes]:
    """Every key of a store with its bytes, but for the position behind claims."""
    database = Rdict(
        str(path), Options(raw_mode=True), access_type=AccessType.read_only()
    )
    try:
        items: list[tuple[bytes, bytes]] = list(database.items())  # type: ignore[arg-type]
    finally:
        database.close()
    return {bytes(key): bytes(value) for key, value in items if key != POSITION}


def test_deleted_stores_come_back_byte_for_byte(live_app: LiveApp) -> None:
    keeper, victim = live_app.two_workers()
    reader, producer = live_app.reader(), live_app.producer()
    for n in range(40):
        producer.start("approval", f"parked-{n}", "you")
        producer.start("delayed-long", f"unknown-{n}", "x")
        producer.command("SendSignal", f"early-{n}", signal="word", payload={"n": n})
    with Load(producer, "chain", per_second=100) as load:
        read_for(reader, 1)
        victim.kill()
        victim.start().until_logged("partition.claimed")
        read_for(reader, 1)
        finish(reader, load)
    for worker in (keeper, victim):
        worker.terminate()
    before = {p: content(path) for p, path in newest_stores(live_app.folder).items()}

    for worker in (keeper, victim):
        shutil.rmtree(worker.state_dir)
    heir = live_app.lone_worker("heir")
    heir.terminate()
    after = {p: content(path) for p, path in newest_stores(live_app.folder).items()}

    rows = sum(map(len, before.values()))
    print(f"\n{rows} keys in {len(before)} stores")  # noqa: T201 - asked for
    assert sorted(before) == list(range(8))
    assert rows > len(load.started)
    assert after == before

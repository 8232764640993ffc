"""A store in RocksDB with a history, whole, half written, and as it should be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engine.store.crash_writer import event, open_store

if TYPE_CHECKING:
    from sayiir_es.engine.store.memory import MemoryStore
    from tests.engine.store.store_contract import Store

ROOT = Path(__file__).parents[2]


def assert_same(store: Store, model: MemoryStore) -> None:
    """Both stores hold the same rows and the same indexes at the same position."""
    assert store.position == model.position
    assert list(store.instances()) == list(model.instances())
    assert list(store.owing()) == list(model.owing())
    assert list(store.timers(10**15)) == list(model.timers(10**15))
    for instance_id in model.instances():
        rows, expected = store.rows(instance_id), model.rows(instance_id)
        assert {key: rows.get(key) for key in rows.keys("")} == {
            key: expected.get(key) for key in expected.keys("")
        }


def names(directory: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(found.name for found in directory.iterdir())


def fold_to(model: MemoryStore, offset: int) -> None:
    """Bring the model to `offset`."""
    for following in range(model.position.offset, offset):
        event(model, following)


async def write_history(path: Path, events: int) -> None:
    """A closed store of several files that stands behind `events`."""
    store = open_store(path)
    for offset in range(events):
        event(store, offset)
        if offset % 200 == 199:
            await store.flush(durable=True)
    await store.close()


def writing(path: Path) -> subprocess.Popen[str]:
    """A process that writes to the store at `path` until it is killed."""
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "tests.engine.store.crash_writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )

"""Stores in RocksDB with a known history, and the model that they must equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engine.store.crash_writer import apply_event, open_store

if TYPE_CHECKING:
    from sayiir_es.engine.store.memory import MemoryStore
    from tests.engine.store.store_contract import Store

ROOT = Path(__file__).parents[4]


def assert_same(store: Store, model: MemoryStore) -> None:
    """Check that both stores have the same rows, indexes and position."""
    assert store.position == model.position
    assert list(store.instances()) == list(model.instances())
    assert list(store.owing()) == list(model.owing())
    assert list(store.timers(10**15)) == list(model.timers(10**15))
    for instance_id in model.instances():
        rows, model_rows = store.rows(instance_id), model.rows(instance_id)
        assert {key: rows.get(key) for key in rows.keys("")} == {
            key: model_rows.get(key) for key in model_rows.keys("")
        }


def names_in(directory: Path) -> list[str]:
    """The names of the files in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def fold_to(model: MemoryStore, offset: int) -> None:
    """Bring the model to `offset`."""
    for next_offset in range(model.position.offset, offset):
        apply_event(model, next_offset)


async def write_history(path: Path, events: int) -> None:
    """Make a store of several files that has folded `events`, and close it."""
    store = open_store(path)
    for offset in range(events):
        apply_event(store, offset)
        if offset % 200 == 199:
            await store.flush(durable=True)
    await store.close()


def start_writer(path: Path) -> subprocess.Popen[str]:
    """Start a process that writes to the store at `path` until it is killed."""
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "tests.engine.store.crash_writer", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )

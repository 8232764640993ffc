"""A history that a position determines, and a process that writes it until killed.

`python -m tests.engine.store.crash_writer PATH` goes on at the position of the store at
PATH and prints the position after every flush: `written N`, or `durable N`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import Cursor, Header
from sayiir_es.core.model.waits import Awaiting, Ended, Sleeping
from sayiir_es.engine.store.cache import CacheLimits
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Changes
    from sayiir_es.core.model.waits import Wait
    from tests.engine.store.store_contract import Store

IDENTITY = StoreIdentity(cluster_id="c", events_topic_id="t", partition=0, partitions=1)
LIMITS = CacheLimits(instances=20)
WRITE_BUFFER_BYTES = 65_536
STEPS = 9


def changes_at(offset: int) -> tuple[str, Changes]:
    """What the event at `offset` changes: instances in nine steps, forty at a time."""
    generation, within = divmod(offset, 40 * STEPS)
    step, number = divmod(within, 40)
    waits: tuple[Wait, ...] = (
        Awaiting(attempt=1, due=offset),
        Sleeping(due_at=offset),
        Ended(result="result:a"),
    )
    ended = step == STEPS - 1 and number % 4 != 0
    changes: Changes = {
        "h": Header(
            run=1,
            sequence=step + 1,
            at=offset,
            phase="completed" if ended else "running",
        ),
        "c": Cursor(path="a", input="start", wait=waits[offset % 3]),
        f"vresult:{step}": b"%d," % offset * (1 + offset * 7919 % 50),
        f"vresult:{step - 2}": None,
    }
    return f"i{generation}/{number}", changes


def apply_event(store: Store, offset: int) -> None:
    """Fold the event at `offset`."""
    instance_id, changes = changes_at(offset)
    store.apply(instance_id, changes)
    store.advance(Position(offset=offset + 1, claim=offset // 10))


def open_store(path: Path) -> RocksStore:
    """A store with memtables so small that files are written all the time."""
    return RocksStore.open(
        path, IDENTITY, limits=LIMITS, write_buffer_bytes=WRITE_BUFFER_BYTES
    )


async def write_for_ever(path: Path) -> None:
    """Fold and flush, sometimes durably, until killed."""
    store = open_store(path)
    flushes = 0
    while True:
        offset = store.position.offset
        for next_offset in range(offset, offset + 1 + offset % 97):
            apply_event(store, next_offset)
        flushes += 1
        durable = flushes % 10 == 0
        await store.flush(durable=durable)
        word = "durable" if durable else "written"
        sys.stdout.write(f"{word} {store.position.offset}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))

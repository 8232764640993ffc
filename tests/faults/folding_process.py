"""A process that folds a history into a store in RocksDB until it is killed.

`python -m tests.faults.folding_process PATH SEED` goes on at the position of the store
at PATH and prints the position after every flush: `written N`, or `durable N`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

from sayiir_es.engine.store.cache import CacheLimits
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore
from tests.faults.histories import History, fold_to

IDENTITY = StoreIdentity(cluster_id="c", events_topic_id="t", partition=0, partitions=1)
WRITE_BUFFER_BYTES = 65_536
FLUSH_RECORDS_MAX = 120
DURABLE_EVERY = 8


def open_store(path: Path) -> RocksStore:
    """A store with memtables so small that files are written all the time."""
    return RocksStore.open(
        path,
        IDENTITY,
        limits=CacheLimits(instances=5),
        write_buffer_bytes=WRITE_BUFFER_BYTES,
    )


async def fold_for_ever(path: Path, history: History) -> None:
    """Fold and flush, sometimes durably, until killed."""
    store = open_store(path)
    chance = Random(store.position.offset)  # noqa: S311
    flushes = 0
    while True:
        offset = store.position.offset + chance.randint(1, FLUSH_RECORDS_MAX)
        fold_to(store, history, offset)
        flushes += 1
        durable = flushes % DURABLE_EVERY == 0
        await store.flush(durable=durable)
        word = "durable" if durable else "written"
        sys.stdout.write(f"{word} {store.position.offset}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(fold_for_ever(Path(sys.argv[1]), History(int(sys.argv[2]))))

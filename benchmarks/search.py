"""How long a page of 50 takes among many instances: by each criterion, by a client.

`python benchmarks/search.py [INSTANCES]` makes a log in one file with so many instances
(a million when left out), serves it by a worker, and asks for pages through a client.
With `within`, as pages do it, a page ends when its owner has looked for so long.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sayiir_es import EmbeddedBackend, Flow, Worker, WorkflowClient
from sayiir_es.core.model.rows import (
    Cursor,
    DictRows,
    Ending,
    Header,
    Phase,
    Row,
    Run,
)
from sayiir_es.core.model.waits import Listening
from sayiir_es.core.status.list_entry import EntryGroup, entry_of, group_of
from sayiir_es.engine.store.rocks import keys
from sayiir_es.engine.store.rocks.changes import entry_items
from sayiir_es.engine.store.rocks.codec import encode_row
from sayiir_es.engine.store.rocks.database import WRITE_BUFFER_BYTES, RocksDatabase
from sayiir_es.engine.store.rocks.listing import collect_counts

MANY = 1_000_000
ASKED = 5
"""How often each page is asked for; the middle of the times counts."""

WITHIN = "100ms"
WRITTEN_AT_ONCE = 5_000
START_MS = 1_700_000_000_000

parked = Flow("orders").wait_for_signal("approval").build()

CRITERIA: dict[str, dict[str, Any]] = {
    "no criterion": {},
    "workflow, of all": {"workflow": "orders"},
    "status, of half": {"status": "awaiting_signal"},
    "status, of 0.02%": {"status": "failed"},
    "status, of none": {"status": "cancelled"},
    "waiting_for, of half": {"waiting_for": "signal:approval"},
    "waiting_for, of none": {"waiting_for": "delay"},
    "error_in, of 0.02%": {"error_in": "charge"},
    "attribute, of one": {"attributes": {"customer": "7"}},
    "id_prefix, of ten": {"id_prefix": "order-00012345"},
    "id_contains, of one": {"id_contains": "0001234567"},
    "by last event": {"by": "updated"},
    "until, of half": {"until": datetime.fromtimestamp(START_MS / 1000 + 500, UTC)},
}


def fill(database: RocksDatabase, many: int, digest: str) -> None:
    """Half completed, half waiting; one of 5,000 failed. As the store writes them."""
    puts, counts = dict[bytes, bytes](), Counter[EntryGroup]()
    for number in range(many):
        instance_id, rows = f"order-{number:010}", DictRows(make_rows(number, digest))
        instance = keys.of_instance(instance_id)
        for key, row in rows.rows.items():
            puts[keys.ROW + instance + key.encode()] = encode_row(row)
        entry = entry_of(rows, instance_id)
        assert entry is not None
        puts |= entry_items(entry, instance)
        counts[group_of(entry)] += 1
        if len(puts) >= WRITTEN_AT_ONCE:
            database.write(puts, set())
            puts.clear()
    collect_counts(database, counts, puts, set())
    database.write(puts, set())


def make_rows(number: int, digest: str) -> dict[str, Row]:
    """The rows of one instance."""
    is_live, at_ms = number % 2 == 1, START_MS + number
    ended: Phase = "failed" if number % 5_000 == 0 else "completed"
    rows: dict[str, Row] = {
        "h": Header(run=1, sequence=3, at=at_ms, phase="running" if is_live else ended),
        "r": Run(
            workflow="orders",
            definition_hash="h",
            graph_digest=digest,
            attributes={"customer": str(number)},
            started_at=at_ms,
        ),
    }
    if is_live:
        wait = Listening(signal="approval", until_at=None, since=2)
        rows["c"] = Cursor(path="approval", input="start", wait=wait)
    elif ended == "failed":
        rows["e"] = Ending(path="charge", error_type="TimeoutError", error="late")
    return rows


def measure(client: WorkflowClient, **asked: Any) -> tuple[float, int, bool]:
    """Milliseconds of a page, its length, and whether it is partial."""
    page, times = client.list_page(limit=50, **asked), list[float]()
    for _ in range(ASKED):
        began = time.perf_counter()
        page = client.list_page(limit=50, **asked)
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[ASKED // 2], len(page.instances), page.is_partial


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(many: int) -> None:
    """Fill a store, serve it, ask."""
    with tempfile.TemporaryDirectory() as folder:
        backend = EmbeddedBackend(Path(folder) / "log.db")
        with Worker("w", backend).start([parked]):
            WorkflowClient(backend).submit(parked, "first")  # it makes log and store
        [path] = {one.parent for one in Path(folder).rglob("CURRENT")}
        began = time.perf_counter()
        database = RocksDatabase(path, WRITE_BUFFER_BYTES)
        fill(database, many, parked.graph.digest)
        asyncio.run(database.close())
        say(f"{many} instances in {time.perf_counter() - began:.0f} s")
        with Worker("w", backend).start([parked]):
            client = WorkflowClient(backend)
            while not client.partitions()[0].is_served:
                time.sleep(0.1)  # till then a client folds the log for itself
            for name, criteria in CRITERIA.items():
                within, count, partial = measure(client, within=WITHIN, **criteria)
                note = ", partial" if partial else ""
                say(f"{name:22} {within:7.1f} ms  {count} found{note}")
        backend.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)

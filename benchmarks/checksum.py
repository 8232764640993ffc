"""What the checksum of a record in a log's file costs, in an append and in a read.

Run `python benchmarks/checksum.py [RECORDS]`. Each path is measured with the checksum
and without it, in turns; the least CPU time of some turns counts. The file is not
synced: that takes longer than all else, and is the same for both.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.file import open_file
from sayiir_es.log.embedded.rows import Write, insert, read_from
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = 20_000
BATCH = 100
TURNS = 5
VALUE_BYTES = 300


class Unchecked(StoredPartition):
    """A partition whose records all have the checksum 0."""

    def checksum(self, *_: object) -> int:
        """Return 0."""
        return 0


def append(path: Path, kind: type[StoredPartition], count: int) -> None:
    """Append records, batch by batch, to a new log."""
    open_file(path, create=True, partitions=1)
    to = kind(path=path, topic=Topic.EVENTS, partition=0)
    headers = (("kind", b"TaskCompleted"), ("claim", b"12"))
    record = NewRecord(key=b"order-7", value=bytes(VALUE_BYTES), headers=headers)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for _ in range(count // BATCH):
            insert(connection, [Write(to=to, batch=[record] * BATCH)])


def read(path: Path, kind: type[StoredPartition], count: int) -> None:
    """Read all records of a log."""
    of = kind(path=path, topic=Topic.EVENTS, partition=0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        offset = 0
        while offset < count:
            offset += len(read_from(connection, of, offset))


def timed(run: Callable[[], object]) -> float:
    """The CPU seconds of a call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    """Measure and print, in µs a record."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    count -= count % BATCH
    least: dict[tuple[str, str], float] = {}
    for turn in range(TURNS):
        for kind in (StoredPartition, Unchecked):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{turn}.db"
                for name, work in (("append", append), ("read", read)):
                    taken_s = timed(lambda w=work, p=path, k=kind: w(p, k, count))
                    place = (name, kind.__name__)
                    least[place] = min(taken_s, least.get(place, taken_s))
    for name in ("append", "read"):
        own, without = (
            least[name, kind] / count * 1e6 for kind in ("StoredPartition", "Unchecked")
        )
        print(  # noqa: T201
            f"{name:7} {own:5.2f} µs a record, {without:5.2f} without the checksum"
        )


if __name__ == "__main__":
    main()

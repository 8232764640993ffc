"""A flipped bit in the file of a closed log, where SQLite has no checksums.

If the bit is in the structure of the file, the file is refused. If it is in an event,
the digest in the next claim is wrong: `audit verify` finds it. Records behind the last
claim have no digest yet.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from sayiir_es.audit import verify
from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import Topic
from sayiir_es.wire.events import read_headers

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Record

STRIDE = 397


WRITER = """
import sys
from sayiir_es import Flow, run_durable_workflow, task

@task
def double(number):
    return number * 2

doubling = Flow("doubling").then(double).then(double).build()
for number in range(12):
    run_durable_workflow(doubling, f"order-{number}", number, backend=sys.argv[1])
"""


async def records_in(path: Path) -> list[Record]:
    """The events in a file."""
    log = EmbeddedLog(path)
    try:
        await log.open(create=False)
        records: list[Record] = []
        end = await log.end_offset(Topic.EVENTS, 0)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        while len(records) < end:
            chunk = await reader.read(max_wait_s=1)
            records += () if chunk is None else chunk.records
        return records
    finally:
        await log.close()


def contents_of(records: list[Record]) -> list[object]:
    """Keys, values and headers of records, without the time of writing."""
    return [(r.key, r.value, read_headers(r.headers)) for r in records]


def result_of(path: Path, expected_contents: list[object]) -> str:
    """What becomes of a file with one bit flipped.

    `expected` are the contents of its records up to the last claim.
    """
    try:
        contents = contents_of(asyncio.run(records_in(path)))[: len(expected_contents)]
        holds = verify(f"file:{path}").holds
    except WorkflowError as error:
        return "refused" if str(error).startswith("expected ") else str(error)
    if not holds:
        return "found by verify"
    return "whole" if contents == expected_contents else "wrong, and nobody knows"


def flip_everywhere(folder: Path, stride: int) -> None:
    path = folder / "log.db"
    # In another process, because a process keeps its logs open.
    subprocess.run([sys.executable, "-c", WRITER, f"file:{path}"], check=True)  # noqa: S603 (our own text)
    records = asyncio.run(records_in(path))
    assert not path.with_name("log.db-wal").exists()
    last = max(
        r.offset for r in records if dict(r.headers)["kind"] == b"PartitionClaimed"
    )
    expected_contents, data, copy = (
        contents_of(records[:last]),
        path.read_bytes(),
        folder / "copy.db",
    )
    results: Counter[str] = Counter()
    for offset in range(0, len(data), stride):
        for path_of_copy in folder.glob("copy.db*"):
            path_of_copy.unlink()
        copy.write_bytes(
            data[:offset]
            + bytes((data[offset] ^ 1 << offset % 8,))
            + data[offset + 1 :]
        )
        results[result_of(copy, expected_contents)] += 1
    print(len(data), dict(results))  # noqa: T201
    assert results.keys() == {"refused", "found by verify", "whole"}


def test_a_flipped_bit_before_the_last_claim_is_found(tmp_path: Path) -> None:
    flip_everywhere(tmp_path, STRIDE)

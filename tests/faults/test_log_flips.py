"""A flipped bit in the file of a closed log, where SQLite has no checksums.

Where the bit is in the structure, the file is refused. Where it is in what an event
says, the digest in the next claim does not fit any more: `audit verify` finds it. What
stands behind the last claim has no digest yet.
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
        found: list[Record] = []
        end = await log.end_offset(Topic.EVENTS, 0)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        while len(found) < end:
            chunk = await reader.read(max_wait_s=1)
            found += () if chunk is None else chunk.records
        return found
    finally:
        await log.close()


def told(records: list[Record]) -> list[object]:
    """What the records say, without the time at which they were written."""
    return [(r.key, r.value, read_headers(r.headers)) for r in records]


def became(path: Path, whole: list[object]) -> str:
    """What becomes of a file with one bit flipped; `whole` ends at the last claim."""
    try:
        seen = told(asyncio.run(records_in(path)))[: len(whole)]
        holds = verify(f"file:{path}").holds
    except WorkflowError as error:
        return "refused" if str(error).startswith("expected ") else str(error)
    if not holds:
        return "found by verify"
    return "whole" if seen == whole else "wrong, and nobody knows"


def flip_everywhere(folder: Path, stride: int) -> None:
    path = folder / "log.db"
    # Elsewhere: a process keeps its logs open.
    subprocess.run([sys.executable, "-c", WRITER, f"file:{path}"], check=True)  # noqa: S603 (our own text)
    records = asyncio.run(records_in(path))
    assert not path.with_name("log.db-wal").exists()
    last = max(
        r.offset for r in records if dict(r.headers)["kind"] == b"PartitionClaimed"
    )
    whole, data, copy = told(records[:last]), path.read_bytes(), folder / "copy.db"
    seen: Counter[str] = Counter()
    for at in range(0, len(data), stride):
        for left in folder.glob("copy.db*"):
            left.unlink()
        copy.write_bytes(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
        seen[became(copy, whole)] += 1
    print(len(data), dict(seen))  # noqa: T201
    assert seen.keys() == {"refused", "found by verify", "whole"}


def test_a_flipped_bit_before_the_last_claim_is_found(tmp_path: Path) -> None:
    flip_everywhere(tmp_path, STRIDE)

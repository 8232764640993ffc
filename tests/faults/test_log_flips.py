"""Damage in the file of a closed log: a flipped bit, and sixteen bytes overwritten.

Whoever reads the log gives exactly what was written, or raises the error of a damaged
log. That holds where SQLite looks at the whole file when it is opened, and, by the
checksums of the records, where the file is too large for that.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    DamagedLogError,
    LogUnavailableError,
    OffsetGoneError,
    UnsafeLogError,
    WorkflowError,
)
from sayiir_es.log.embedded import tables
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Record

STRIDE = 397
OVERWRITTEN_BYTES = 16
INSTANCES = 12

WRITER = """
import sys
from sayiir_es import Flow, run_durable_workflow, task

@task
def double(number):
    return number * 2

doubling = Flow("doubling").then(double).then(double).build()
for number in range(int(sys.argv[2])):
    run_durable_workflow(doubling, f"order-{number}", number, backend=sys.argv[1])
"""

Contents = dict[str, list["Record"]]


async def contents_of(path: Path) -> Contents:
    """All that a log gives: each topic, and the history of each instance."""
    log = EmbeddedLog(path)
    try:
        await log.open(create=False)
        contents: Contents = {}
        for topic in APP_TOPICS:
            records: list[Record] = []
            place, end = (
                await log.start_offset(topic, 0),
                await log.end_offset(topic, 0),
            )
            reader = await log.reader(topic, 0, place)
            while place < end:
                chunk = await reader.read(max_wait_s=1)
                assert chunk is not None
                place = chunk.end
                records += chunk.records
            contents[topic.value] = records
        for number in range(INSTANCES):
            instance_id = f"order-{number}"
            contents[instance_id] = list(await log.read_instance(0, instance_id))
        return contents
    finally:
        await log.close()


def result_of(path: Path, expected: Contents) -> str:
    """What becomes of a damaged file: `whole`, or the code of its error."""
    try:
        contents = asyncio.run(contents_of(path))
    except DamagedLogError as error:
        assert str(path) in str(error)  # noqa: PT017 (either will do)
        return error.code
    # What is no log any more, or a log of others, is refused when it is opened.
    except (UnsafeLogError, LogUnavailableError, OffsetGoneError) as error:
        assert str(error).startswith("expected ")  # noqa: PT017 (as above)
        return error.code
    except WorkflowError as error:
        return f"{type(error).__name__}: {error}"
    wrong = [name for name, records in expected.items() if contents[name] != records]
    return f"wrong, and nobody knows: {wrong}" if wrong else "whole"


def damaged(data: bytes, offset: int, kind: str) -> bytes:
    """A copy of a file that is damaged from an offset on."""
    if kind == "bit":
        new = bytes((data[offset] ^ 1 << offset % 8,))
    elif kind == "zeros":
        new = bytes(OVERWRITTEN_BYTES)
    else:
        new = Random(offset).randbytes(OVERWRITTEN_BYTES)  # noqa: S311
    new = new[: len(data) - offset]
    return data[:offset] + new + data[offset + len(new) :]


def damage_everywhere(folder: Path, kind: str, stride: int) -> Counter[str]:
    """Damage one place after the other; counts what became of the file."""
    path = folder / "log.db"
    # In another process, because a process keeps its logs open.
    command = [sys.executable, "-c", WRITER, f"file:{path}", str(INSTANCES)]
    subprocess.run(command, check=True)  # noqa: S603 (our own text)
    with closing(sqlite3.connect(path)) as connection:  # all of it in the file itself
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    pristine = folder / "pristine.db"
    shutil.copy(path, pristine)
    expected = asyncio.run(contents_of(pristine))
    assert len(expected[Topic.EVENTS.value]) > INSTANCES * 4
    data, copy = path.read_bytes(), folder / "copy.db"
    results: Counter[str] = Counter()
    for offset in range(0, len(data), stride):
        for path_of_copy in folder.glob("copy.db*"):
            path_of_copy.unlink()
        copy.write_bytes(damaged(data, offset, kind))
        result = result_of(copy, expected)
        if result.startswith("wrong"):
            print(f"{kind} at {offset}: {result}")  # noqa: T201
        results[result] += 1
    print(kind, len(data), dict(results))  # noqa: T201
    return results


def check(results: Counter[str]) -> None:
    """Check that nobody gave other bytes, and that damage was seen."""
    known = {"whole", "damaged_log", "unsafe_log", "log_unavailable", "offset_gone"}
    assert results.keys() <= known
    assert results["damaged_log"] > results.total() / 4


KINDS = pytest.mark.parametrize("kind", ["bit", "zeros", "noise"])


@KINDS
def test_damage_in_a_small_file_is_told(tmp_path: Path, kind: str) -> None:
    check(damage_everywhere(tmp_path, kind, STRIDE))


@KINDS
def test_damage_in_a_file_that_is_not_checked_whole_is_told(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WHOLE_CHECK_BYTES_MAX", 0)
    check(damage_everywhere(tmp_path, kind, STRIDE))


@pytest.mark.long
@KINDS
@pytest.mark.parametrize("whole_check", [True, False])
def test_damage_at_every_place_is_told(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, *, whole_check: bool
) -> None:
    if not whole_check:
        monkeypatch.setattr(tables, "WHOLE_CHECK_BYTES_MAX", 0)
    check(damage_everywhere(tmp_path, kind, 7))

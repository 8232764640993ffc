"""One flipped byte in each file of a store in RocksDB, at every byte in the long run.

Whoever reads gets the rows of the log, or an error; and after an error the store is set
aside and an empty one stands in its place, to be folded again. That holds of an owner's
or projector's store, and of the view of it that other processes read.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks.files import refuse_endless_manifest
from sayiir_es.engine.store.rocks.view import StoreView
from tests.engine.store.rocks.rocks_history import assert_same, names
from tests.faults.folding_process import IDENTITY, open_store
from tests.faults.histories import History, fold_to

EVENTS, EVENTS_A_FILE = 240, 80
ROOT = Path(__file__).parents[2]
LIMIT_S = 30
FLIPS_A_FILE, FLIPS_LONG = 24, 300
HEAD_AND_TAIL = 2
"""Bytes at both ends of a file that are always among the flipped: magic numbers."""


@pytest.fixture
async def original(tmp_path: Path) -> Path:
    """A closed store of several files."""
    store, history = open_store(tmp_path / "original"), History(2)
    for offset in range(EVENTS_A_FILE, EVENTS + 1, EVENTS_A_FILE):
        fold_to(store, history, offset)
        await store.flush(durable=True)
    await store.close()
    return tmp_path / "original"


def older(position: Position) -> MemoryStore:
    """What the log says at an earlier position."""
    store = MemoryStore()
    fold_to(store, History(2), position.offset)
    return store


async def read_store(path: Path, whole: MemoryStore) -> str:
    """What becomes of a damaged store."""
    store = open_store(path)
    try:
        if store.notes:
            assert store.position == Position()
            assert list(store.instances()) == []
            return "replaced when opened"
        # What looks like the torn end of a manifest is left out: then it is older.
        expected = whole if store.position == whole.position else older(store.position)
        assert_same(store, expected)
    except StoreError as error:
        found = str(error)
    else:
        return "whole" if expected is whole else "older"
    finally:
        await store.close()
    store = open_store(path)
    assert "set aside" in store.notes[0], found
    assert store.position == Position()
    await store.close()
    return "replaced when read"


def read_view(path: Path, whole: MemoryStore) -> str:
    """What becomes of it for another process."""
    try:
        with StoreView(path) as view:
            assert view.identity == IDENTITY
            if view.position != whole.position:
                whole = older(view.position)
            read = dict(view.instances())
            for instance_id in whole.instances():
                assert view.rows(instance_id) == read[instance_id]
    except StoreError:
        return "refused"
    for instance_id in whole.instances():
        expected = whole.rows(instance_id)
        rows = read[instance_id].rows
        assert rows == {key: expected.get(key) for key in expected.keys("")}
    assert len(read) == len(list(whole.instances()))
    return "whole"


def flipped_places(size: int, name: str, flips: int | None) -> list[int]:
    """Where to flip: all of a small file, both ends and some more of a large one.

    Without `flips` all of every file that holds what the store needs.
    """
    if flips is None:
        flips = size if name.endswith(".sst") or "MANIFEST" in name else FLIPS_LONG
    if size <= flips:
        return list(range(size))
    ends = {*range(HEAD_AND_TAIL), *range(size - HEAD_AND_TAIL, size)}
    inner = Random(name).sample(range(size), flips)  # noqa: S311
    return sorted(ends | set(inner))


async def flip_everywhere(original: Path, flips: int | None) -> dict[str, Counter[str]]:
    """Flip one bit after the other; what became of it, by the sort of the file."""
    whole = MemoryStore()
    fold_to(whole, History(2), EVENTS)
    assert await read_store(original, whole) == "whole"
    copy = original.with_name("copy")
    seen: dict[str, Counter[str]] = {}
    for name in names(original):
        file = original / name
        data = file.read_bytes()
        sort = file.suffix or file.name.partition("-")[0]
        for at in flipped_places(len(data), file.name, flips):
            shutil.copytree(original, copy)
            bit = 1 << at % 8
            damaged = data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]
            (copy / file.name).write_bytes(damaged)
            seen.setdefault(sort, Counter())
            if sort != "OPTIONS":  # RocksDB's parser of them crashes a reader's process
                seen[sort][f"view: {read_view(copy, whole)}"] += 1
            seen[sort][await read_store(copy, whole)] += 1
            for left in original.parent.glob("copy*"):
                shutil.rmtree(left)
    return seen


def check(seen: dict[str, Counter[str]]) -> None:
    """Damage is found in the files that hold something."""
    for sort, became in sorted(seen.items()):
        print(sort, dict(became))  # noqa: T201
    assert {".sst", "MANIFEST", "CURRENT", "IDENTITY", "OPTIONS"} <= seen.keys()
    for sort in (".sst", "MANIFEST", "CURRENT"):
        assert seen[sort]["replaced when opened"] + seen[sort]["replaced when read"]
        assert seen[sort]["view: refused"]


OPEN = """
import sys
from pathlib import Path
from tests.faults.folding_process import open_store
print(open_store(Path(sys.argv[1])).notes)
"""


async def test_a_manifest_that_rocksdb_would_read_for_ever_is_not_given_to_it(
    original: Path,
) -> None:
    (name,) = (one for one in names(original) if one.startswith("MANIFEST"))
    data = (original / name).read_bytes()
    pieces = [at for at in range(6, len(data)) if data[at] == 1]
    notes: list[str] = []
    for at in pieces:
        copy = original.with_name(f"copy-{at}")
        shutil.copytree(original, copy)
        # The type of a whole record becomes that of a whole one in a recycled log.
        (copy / name).write_bytes(data[:at] + b"\x05" + data[at + 1 :])
        try:
            refuse_endless_manifest(copy)
        except StoreError:
            done = subprocess.run(  # noqa: ASYNC221, S603 (our own text; bounded: it would hold the GIL)
                [sys.executable, "-c", OPEN, str(copy)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=True,
            )
            notes.append(done.stdout)
            break
    assert "but one of type 5; it was set aside" in notes[0]


async def test_a_flipped_byte_never_makes_wrong_rows(original: Path) -> None:
    check(await flip_everywhere(original, FLIPS_A_FILE))


@pytest.mark.long
async def test_no_flipped_byte_of_its_files_makes_wrong_rows(original: Path) -> None:
    check(await flip_everywhere(original, None))

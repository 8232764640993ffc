"""I20, I21: a store that holds what the log does not say is found."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, run_durable_workflow, task
from sayiir_es.audit import verify
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.position import Position
from sayiir_es.engine.store.rocks.database import WRITE_BUFFER_BYTES, RocksDatabase
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.engine.store.rocks.view import StoreView, stores_under

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@task
def double(value: int) -> int:
    return value * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log in a file, with the stores beside it."""
    workflow = Flow("make_log").then(double).build()
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        for number in range(3):
            run_durable_workflow(workflow, f"i{number}", number, backend=backend)
    return tmp_path


def opened(folder: Path) -> AbstractContextManager[RocksStore]:
    """The store, to be tampered with."""
    return opened_at(stores_under(folder)[0])


@contextmanager
def opened_at(path: Path) -> Generator[RocksStore]:
    """A store, to be tampered with."""
    with StoreView(path) as view:
        identity = view.identity
    yield RocksStore.open(path, identity)


async def test_stores_that_equal_the_fold_hold(folder: Path) -> None:
    verdict = verify(f"file:{folder / 'log.db'}", state_dir=folder)
    assert verdict.holds, verdict.violations[0]
    assert verdict.events > 9


async def test_a_store_whose_owner_was_killed_before_the_first_flush_is_passed_over(
    folder: Path,
) -> None:
    beside = stores_under(folder)[0].with_name("7")
    RocksDatabase(beside, WRITE_BUFFER_BYTES).abandon()
    with StoreView(beside) as view:
        assert view.is_empty
    verdict = verify(f"file:{folder / 'log.db'}", state_dir=folder)
    assert verdict.holds, verdict.violations[0]


async def test_a_row_that_the_log_does_not_give_is_found(folder: Path) -> None:
    with opened(folder) as store:
        store.apply("i1", {"vstart": b"7"})
        store.advance(store.position)
        end = store.position.offset
        await store.close()
    violations = verify(f"file:{folder / 'log.db'}", state_dir=folder).violations
    assert [
        (v.invariant, v.partition, v.offset, v.instance_id) for v in violations
    ] == [("I20", 0, end, "i1")]
    assert "vstart" in violations[0].expected


async def test_an_instance_of_nowhere_is_found(folder: Path) -> None:
    with opened(folder) as store:
        store.apply("i9", {"vstart": b"7"})
        store.advance(store.position)
        await store.close()
    violations = verify(f"file:{folder / 'log.db'}", state_dir=folder).violations
    assert [(v.invariant, v.instance_id) for v in violations] == [("I20", "i9")]


async def test_a_store_ahead_of_its_log_is_found(folder: Path) -> None:
    with opened(folder) as store:
        place = store.position
        store.advance(Position(offset=place.offset + 5, claim=place.claim))
        await store.close()
    violations = verify(f"file:{folder / 'log.db'}", state_dir=folder).violations
    assert [(v.invariant, v.offset) for v in violations] == [("I21", place.offset + 5)]


# --- damage ---------------------------------------------------------------------------


def tables_of(path: Path) -> list[Path]:
    """The files of a store that hold rows."""
    tables = sorted(path.glob("*.sst"))
    assert tables
    return tables


def flip_bytes(file: Path, start: int, end: int) -> None:
    """Flip every bit of a part of a file."""
    data = file.read_bytes()
    flipped = bytes(byte ^ 0xFF for byte in data[start:end])
    file.write_bytes(data[:start] + flipped + data[end:])


@pytest.mark.parametrize("damage", ["rows", "manifest"])
async def test_a_damaged_store_is_named_and_the_others_are_compared(
    folder: Path, damage: str
) -> None:
    path = stores_under(folder)[0]
    whole, torn = path.with_name("7"), path.with_name("8")
    shutil.copytree(path, whole)
    shutil.copytree(path, torn)
    if damage == "rows":
        for file in tables_of(path):
            flip_bytes(file, 8, 24)
    else:
        (path / "CURRENT").write_text("nothing")
    RocksDatabase(torn, WRITE_BUFFER_BYTES).abandon()
    with opened_at(torn) as store:
        store.apply("i9", {"vstart": b"7"})
        store.advance(store.position)
        await store.close()
    verdict = verify(f"file:{folder / 'log.db'}", state_dir=folder)
    seen = {(one.partition, one.instance_id) for one in verdict.violations}
    [unreadable] = [one for one in verdict.violations if "can be read" in one.expected]
    assert unreadable.invariant == "I20"
    assert str(path) in unreadable.expected
    assert "delete that directory" in unreadable.seen
    assert (0, "i9") in seen

"""Who may use the files of a log, and on which disks they may lie."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING

import pytest

from sayiir_es import EmbeddedBackend, aio
from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.embedded import file
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import Topic
from tests.cli.sample_workflows import doubling

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture(params=[0o000, 0o022, 0o077])
def _mask(request: pytest.FixtureRequest) -> Generator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The permission bits of all that is in a folder; of what is made now excepted."""
    return {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in folder.iterdir()
        if path.suffix != ".new"
    }


def mode_of(path: Path) -> int:
    """The permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


async def make_all_files(path: Path) -> None:
    """Use a log in each way that makes a file."""
    backend = EmbeddedBackend(path)
    log, lock = backend.open_log(), OwnerLock(path)
    await log.open(create=True)
    waiting = OwnerLock(path)
    try:
        assert lock.try_acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await waiting.acquire()
        assert path.with_name("log.db.sock").exists()
        await log.end_offset(Topic.EVENTS, 0)
        assert path.with_name("log.db-wal").exists()
    finally:
        lock.release()
    await aio.run_durable_workflow(doubling, "a", 1, backend)
    await aio.aclose(backend)
    backend.close()
    await log.close()


@pytest.mark.usefixtures("_mask")
async def test_all_files_are_their_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.db"
    await make_all_files(path)
    found = modes(path.parent)
    assert {"log.db", "log.db.owner", "log.db.waiting"} <= found.keys()
    for name, mode in found.items():
        is_folder = (path.parent / name).is_dir()
        assert mode == (0o700 if is_folder else 0o600), name
    assert mode_of(path.parent) == 0o700


@pytest.mark.usefixtures("_mask")
@pytest.mark.parametrize(
    ("access", "file_mode", "folder_mode"),
    [("group", 0o660, 0o770), ("all", 0o666, 0o777)],
)
async def test_others_may_use_a_new_log_where_that_is_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    access: str,
    file_mode: int,
    folder_mode: int,
) -> None:
    monkeypatch.setenv("SAYIIR_FILE_ACCESS", access)
    path = tmp_path / "new" / "log.db"
    log = EmbeddedBackend(path).open_log()
    await log.open(create=True)
    lock = OwnerLock(path)
    assert lock.try_acquire()
    found = modes(path.parent)
    assert {"log.db", "log.db.owner", "log.db.sock"} <= found.keys()
    assert set(found.values()) == {file_mode}
    assert mode_of(path.parent) == folder_mode
    lock.release()
    await log.close()


async def test_an_old_file_keeps_its_mode_and_its_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path)
    await log.open(create=True)
    await log.close()
    for changed, mode in ((path, 0o640), (tmp_path, 0o755)):
        await asyncio.to_thread(changed.chmod, mode)
    await log.open(create=True)
    lock = OwnerLock(path)
    assert lock.try_acquire()
    assert modes(tmp_path)["log.db"] == 0o640
    assert modes(tmp_path)["log.db.sock"] == 0o640
    assert mode_of(tmp_path) == 0o755
    lock.release()
    await log.close()


async def test_a_disk_that_may_lie_is_refused_unless_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk(path: Path) -> str:
        del path
        return "9p"

    monkeypatch.setattr(file, "unsafe_disk", disk)
    backend = EmbeddedBackend(tmp_path / "log.db")
    with pytest.raises(UnsafeLogError, match="SAYIIR_FILE_ON_ANY_DISK=true"):
        await backend.open_log().open(create=True)
    assert not modes(tmp_path)
    monkeypatch.setenv("SAYIIR_FILE_ON_ANY_DISK", "true")
    log = backend.open_log()
    await log.open(create=True)
    await log.close()

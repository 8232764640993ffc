"""One worker owns a whole log: the first to ask, until it leaves or dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.network_disk import kind_of_disk
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 10.0

HOLDER = """
import sys, time
from sayiir_es.log.embedded.lock import OwnerLock
lock = OwnerLock(sys.argv[1])
print(lock.try_acquire(), flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["memory", "file"])
def membership(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], SoloMembership]:
    """Return a function that makes memberships of one log."""
    if request.param == "file":
        return lambda: SoloMembership(OwnerLock(tmp_path / "log.db"), partitions=2)
    log = MemoryLog(2)
    return lambda: SoloMembership(log.owner_lock(), partitions=log.partitions)


async def test_the_first_to_join_has_all_partitions_at_once(
    membership: Callable[[], SoloMembership],
) -> None:
    member = membership()
    assert member.current().partitions == frozenset()
    await member.join()
    assert member.current().partitions == {0, 1}
    assert member.current().lapses == 0
    await member.join()
    await member.leave()
    assert member.current().partitions == frozenset()


async def test_the_second_waits_until_the_first_has_left(
    membership: Callable[[], SoloMembership],
) -> None:
    first, second = membership(), membership()
    await first.join()
    await second.join()
    before = second.current()
    assert before.partitions == frozenset()
    change = asyncio.create_task(second.changed(before.epoch))
    await asyncio.wait([change], timeout=0.12)
    assert not change.done()
    await first.leave()
    async with asyncio.timeout(1):
        assert (await change).partitions == {0, 1}
    await second.leave()


async def test_leaving_wakes_a_caller_that_waits_for_a_change(
    membership: Callable[[], SoloMembership],
) -> None:
    member = membership()
    await member.join()
    change = asyncio.create_task(member.changed(member.current().epoch))
    await asyncio.sleep(0)
    await member.leave()
    async with asyncio.timeout(1):
        assert (await change).partitions == frozenset()
    await member.leave()


async def test_a_member_that_leaves_while_waiting_never_owns(
    membership: Callable[[], SoloMembership],
) -> None:
    first, second, third = membership(), membership(), membership()
    await first.join()
    await second.join()
    await second.leave()
    await first.leave()
    await third.join()
    assert second.current().partitions == frozenset()
    assert third.current().partitions == {0, 1}
    await third.leave()


async def test_a_change_before_the_call_is_returned_at_once(
    membership: Callable[[], SoloMembership],
) -> None:
    member = membership()
    epoch = member.current().epoch
    await member.join()
    async with asyncio.timeout(1):
        assert (await member.changed(epoch)).partitions == {0, 1}
    await member.leave()


async def test_an_assignment_is_fresh_when_it_is_read(
    membership: Callable[[], SoloMembership],
) -> None:
    member = membership()
    await member.join()
    now_s = asyncio.get_running_loop().time()
    assert member.current().fresh_at_s >= now_s
    await member.leave()
    assert member.current().fresh_at_s < now_s


async def test_a_lock_passes_over_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(path)), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"True\n"
    member = SoloMembership(OwnerLock(path))
    await member.join()
    assert member.current().partitions == frozenset()
    change = asyncio.create_task(member.changed(member.current().epoch))
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(1):
        assert (await change).partitions == {0}
    await member.leave()


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    parent = OwnerLock(path)
    assert parent.try_acquire()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, b"1")
        signal.pause()
    try:
        assert os.read(read_end, 1) == b"1"
        other = OwnerLock(path)
        assert not other.try_acquire()
        parent.release()
        assert other.try_acquire()
        other.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lock_without_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailableError, match="lock file"):
        OwnerLock(tmp_path / "none" / "log.db").try_acquire()


def test_the_disk_of_a_path_is_that_of_the_mount_on_top() -> None:
    mounts = (
        "22 1 8:1 / / rw - ext4 /dev/a rw\n"
        "30 22 0:50 / /mnt/our\\040share rw shared:1 - nfs4 host:/x rw\n"
        "31 30 8:2 / /mnt/our\\040share/local rw - xfs /dev/b rw\n"
    )
    kinds = {
        "/home/log.db": "ext4",
        "/mnt/our share/log.db": "nfs4",
        "/mnt/our share/local/log.db": "xfs",
        "/mnt/our sharex/log.db": "ext4",
    }
    for path, kind in kinds.items():
        assert kind_of_disk(PurePosixPath(path), mounts) == kind

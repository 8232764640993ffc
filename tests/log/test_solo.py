"""One worker owns a whole log: the first to ask, until it leaves or dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.embedded import network_disk
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.network_disk import (
    is_safe,
    kind_of_disk,
    number_of_disk,
    unsafe_disk,
)
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
    async with asyncio.timeout(LIMIT_S):
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
    async with asyncio.timeout(LIMIT_S):
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
    async with asyncio.timeout(LIMIT_S):
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
    async with asyncio.timeout(LIMIT_S):
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


UNSAFE_DISKS = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "auristorfs"),
    *("coda", "ncpfs", "ncp", "ceph", "glusterfs", "lustre", "beegfs", "fhgfs", "gpfs"),
    *("mmfs", "gfs", "gfs2", "ocfs2", "orangefs", "pvfs2", "davfs", "acfs", "panfs"),
    *("snfs", "cvfs", "wekafs", "9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
    *("drvfs", "wslfs", "fakeowner", "afpfs", "webdav", "ecryptfs", "fuse", "fuseblk"),
    *("fuse.sshfs", "fuse.s3fs", "fuse.grpcfuse", "fuse.osxfs", "fuse.rclone"),
    *("fuse.glusterfs", "fuse.juicefs", "fuse.mfs", "fuse.vmhgfs-fuse", "fuse.davfs2"),
    *("fuse.bindfs", "fuse.encfs", "fuse.portal", "macfuse", "osxfuse", "autofs"),
    "a-kind-of-next-year",
}


@pytest.mark.parametrize("kind", sorted(UNSAFE_DISKS))
def test_a_disk_that_may_lie_is_not_safe(kind: str) -> None:
    assert not is_safe(kind)


def test_the_kernel_s_number_of_a_disk_is_read(tmp_path: Path) -> None:
    stat = subprocess.run(  # noqa: S603 - the system's
        [shutil.which("stat") or "stat", "-f", "-c", "%t", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert number_of_disk(tmp_path) == int(stat.stdout, 16)
    assert number_of_disk(tmp_path / "none") == 0


def test_without_a_list_of_mounts_the_number_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_disk, "_MOUNTS", tmp_path / "none")
    assert unsafe_disk(tmp_path / "new" / "log.db") is None
    number = number_of_disk(tmp_path)
    monkeypatch.setitem(network_disk.UNSAFE_NUMBERS, number, "nfs")
    assert unsafe_disk(tmp_path / "new" / "log.db") == "nfs"


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "apfs", ""]
)
def test_a_disk_of_this_machine_is_safe(kind: str) -> None:
    assert is_safe(kind)

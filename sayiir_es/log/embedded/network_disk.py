"""Tells whether a path lies on a disk where the log's file would not be safe.

SQLite's write-ahead log needs memory that all its processes share, reliable locks, and
a sync that means it. Over a network there is neither: two machines would damage the
file without an error. What a virtual machine, or a program, shows of another file
system may have none of the three, and does not say so.

Nobody can list all of these, and new ones come. So the kinds are listed that are known
to be a disk of this machine; any other is refused by its name, with a way round. Two of
the list are no disks: `overlay` is what a container has above a disk of its host (Linux
refuses most network disks below it), and `tmpfs` locks and shares memory as it must,
and is as durable as the machine's memory: that is what was asked for.

Linux lists by name what is mounted. Where that list cannot be read (no `/proc`) the
numbers by which the kernel knows the kinds are asked for.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path, PurePath

_MOUNTS = Path("/proc/self/mountinfo")

_LOCAL = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs"),
        *("reiserfs", "reiser4", "nilfs2", "ufs", "ntfs3", "exfat", "vfat", "msdos"),
        *("hfs", "hfsplus", "apfs", "ubifs", "jffs2", "udf", "minix", "erofs"),
        *("overlay", "overlayfs", "aufs", "rootfs", "tmpfs", "ramfs", "devtmpfs"),
    }
)
"""Their locks, shared memory and syncs are those of this machine's kernel."""

UNSAFE_NUMBERS = {
    0x6969: "nfs",
    0x517B: "smbfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb3",
    0x01021997: "9p",
    0x65735546: "fuse",  # virtiofs has this number, too
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x564C: "ncpfs",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x20030528: "orangefs",
    0x19830326: "beegfs",
    0xAAD7AAEA: "panfs",
    0xBEEFDEAD: "snfs",
    0x61636673: "acfs",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0x7C7C6673: "prl_fs",
    0x53464846: "drvfs",
}
"""What `statfs` says of kinds that are not safe."""


def unsafe_disk(path: Path) -> str | None:
    """Return the kind of disk that an absolute path lies on, if it is not a safe one.

    None, too, where the system does not say what is mounted.
    """
    folder = next((one for one in path.parents if os.path.lexists(one)), path.parent)
    try:
        os.stat(folder)  # noqa: PTH116 (what is mounted at its first use is, by now)
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return UNSAFE_NUMBERS.get(number_of_disk(folder))
    kind = kind_of_disk(path, mounts)
    return None if is_safe(kind) else kind


def is_safe(kind: str) -> bool:
    """Whether the log's file may lie on a file system of this kind."""
    return kind in _LOCAL or not kind


def number_of_disk(folder: Path) -> int:
    """Linux's number of the kind of file system of a folder; 0 where it has none."""
    status = (ctypes.c_long * 64)()  # more than any system writes; the kind is first
    try:
        failed = ctypes.CDLL(None).statfs(os.fsencode(folder), status)
    except AttributeError:
        return 0
    return 0 if failed or os.name != "posix" else status[0] & 0xFFFFFFFF


def kind_of_disk(path: PurePath, mounts: str) -> str:
    """Return the kind of file system of the mount that holds a path.

    `mounts` is the text of Linux's `mountinfo`: of two mounts at one path the later one
    is on top.
    """
    disk_kind, depth = "", -1
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        mounted_at = PurePath(_unescaped(place.split(" ")[4]))
        mount_depth = len(mounted_at.parts)
        if mount_depth >= depth and path.is_relative_to(mounted_at):
            disk_kind, depth = kind.split(" ")[0], mount_depth
    return disk_kind


def _unescaped(place: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n")):
        place = place.replace(code, character)
    return place.replace("\\134", "\\")

"""Tells whether a path lies on a disk that machines share over a network.

SQLite's write-ahead log needs memory that all its processes share, and reliable locks.
Over a network there is neither: two machines would damage the file without an error.
"""

from __future__ import annotations

from pathlib import Path, PurePath

_MOUNTS = Path("/proc/self/mountinfo")

_SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "ceph"),
        *("glusterfs", "lustre", "beegfs", "gpfs", "gfs2", "ocfs2", "orangefs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
    }
)


def network_disk(path: Path) -> str | None:
    """Return the kind of the shared disk that an absolute path lies on, else None.

    None, too, where the system does not list what is mounted.
    """
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return None
    kind = kind_of_disk(path, mounts)
    return kind if kind in _SHARED else None


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

"""Where a process keeps its stores: in the first state slot that no other process uses.

    STATE_DIR/APP/N/lock         locked by flock as long as the process lives
    STATE_DIR/APP/N/PARTITION/   the store of a partition

Slots are reused, and the stores in them with them. A lock file is never deleted:
another process may be about to lock it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

from sayiir_es.core.model.errors import StoreError
from sayiir_es.log.descriptors import close_descriptor, open_descriptor
from sayiir_es.log.posix import fcntl

SLOTS_MAX = 1_000
"""How many processes of one app one machine can run with this state directory."""

PLACE_ADVICE = (
    "set SAYIIR_STATE_DIR, or state_dir= of KafkaBackend, to a folder of this user "
    "with free space; it holds nothing to keep"
)

PRIVATE = 0o700
"""Stores hold the data of workflows: other users of the machine must not read them."""


def default_state_dir() -> Path:
    """The directory of `SAYIIR_STATE_DIR`, else the user's folder for state (XDG).

    Raises:
        StoreError: if this user has none.
    """
    configured = os.environ.get("SAYIIR_STATE_DIR", "")
    if configured:
        return Path(configured)
    xdg_state_home = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification says to ignore a path that is not absolute.
    if xdg_state_home.startswith("/"):
        return Path(xdg_state_home) / "sayiir-es"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise StoreError(
            "expected a folder for state, but HOME is not set, and this system has no "
            f"user {os.getuid()}: {PLACE_ADVICE}"
        ) from error
    return home / ".local" / "state" / "sayiir-es"


def place_error(path: Path, error: OSError) -> StoreError:
    """The error for a place where no store can be made, and what to do about it."""
    folder = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
    detail = ""
    if isinstance(error, PermissionError):
        with contextlib.suppress(OSError):
            owner = folder.stat().st_uid
            detail = f" (it is user {owner}'s, and this is user {os.getuid()})"
    return StoreError(
        f"expected a writable state directory, but {error}{detail}: {PLACE_ADVICE}"
    )


class StateSlot:
    """A directory that only this process uses, until `close`."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def take(cls, state_dir: Path | None, app: str) -> StateSlot:
        """Take the first free slot of `app`.

        Raises:
            StoreError: if the directory cannot be used, or no slot is free.
        """
        if app in {"", ".", ".."} or "/" in app or "\x00" in app:
            raise StoreError(
                f"expected an app name that names a directory, but {app!r}"
            )
        root = (default_state_dir() if state_dir is None else state_dir) / app
        for number in range(SLOTS_MAX):
            path = root / str(number)
            try:
                path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                lock_fd = _lock(path / "lock")
            except OSError as error:
                raise place_error(path, error) from error
            if lock_fd is not None:
                return cls(path, lock_fd)
        raise StoreError(
            f"expected a free state slot under {str(root)!r}, but all {SLOTS_MAX} are "
            "taken"
        )

    def partition_path(self, partition: int) -> Path:
        """The directory of a partition's store."""
        return self.path / str(partition)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the slot; closing again does nothing. Close its stores before."""
        lock_fd, self._lock_fd = self._lock_fd, -1
        if lock_fd >= 0:
            close_descriptor(lock_fd)


def _lock(path: Path) -> int | None:
    """Lock a file; returns its descriptor, or None if it is locked already."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    lock_fd = open_descriptor(lambda: os.open(path, flags, 0o600))
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        close_descriptor(lock_fd)
        return None
    except OSError:
        close_descriptor(lock_fd)
        raise
    return lock_fd

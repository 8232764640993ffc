"""The directory of a RocksDB store: what may be in it, where it goes when damaged."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from sayiir_es.core.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = "DAMAGED"
"""Name of the file that marks a store as damaged."""

_OURS = re.compile(
    r"LOCK|CURRENT|IDENTITY|DAMAGED|LOG(\.old\.\d+)?|MANIFEST-\d+|OPTIONS-\d+"
    r"|\d+\.(sst|log|blob)|.*\.dbtmp|rocksdict-config\.json"
)


def is_damaged(path: Path) -> bool:
    """Whether the store was found damaged and is of no more use."""
    return (path / DAMAGED).exists()


def mark_damaged(path: Path) -> None:
    """Have the store set aside when it is opened next, if the disk allows."""
    with suppress(OSError):
        (path / DAMAGED).touch()


def refuse_foreign_files(path: Path) -> None:
    """Never touch a directory that somebody pointed us to by mistake.

    Raises:
        StoreError: if it holds what no store has.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreError(f"expected a directory at {str(path)!r}, but it is a file")
    for entry in path.iterdir():
        if entry.is_dir() or not _OURS.fullmatch(entry.name):
            raise StoreError(
                f"expected a store or nothing at {str(path)!r}, but it holds "
                f"{entry.name!r}"
            )


def set_aside(path: Path) -> Path:
    """Keep a damaged store for whoever wants to look at it, and none before it.

    Raises:
        StoreError: if the disk refuses.
    """
    try:
        number = 0
        for earlier in path.parent.glob(f"{path.name}.damaged-*"):
            number = max(number, int(earlier.name.rpartition("-")[2]))
            shutil.rmtree(earlier)
        aside = path.with_name(f"{path.name}.damaged-{number + 1}")
        path.rename(aside)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"expected to set the damaged store {str(path)!r} aside, but {error}"
        ) from error
    return aside


def delete_store(path: Path) -> None:
    """Delete a store that nobody has open.

    Raises:
        StoreError: if the disk refuses.
    """
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise StoreError(
            f"expected to delete the store at {str(path)!r}, but {error}"
        ) from error

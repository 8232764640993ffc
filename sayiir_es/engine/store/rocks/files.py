"""The directory of a RocksDB store: what may be in it, where it goes when damaged."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = "DAMAGED"
"""Name of the file that marks a store as damaged."""

_OURS = re.compile(
    r"LOCK|CURRENT|IDENTITY|DAMAGED|LOG(\.old\.\d+)?|MANIFEST-\d+|OPTIONS-\d+"
    r"|\d+\.(sst|log|blob)|.*\.dbtmp|rocksdict-config\.json"
)

_MANIFEST = re.compile(r"MANIFEST-\d+")
_BLOCK_BYTES, _PIECE_HEAD_BYTES = 32_768, 7
_LAST_PIECE = 4
"""Types of pieces: 0 fills a block up, 1 to 4 are a whole record, or its first, middle
and last piece."""


def is_damaged(path: Path) -> bool:
    """Whether the store was found damaged and is of no more use."""
    return (path / DAMAGED).exists()


def mark_damaged(path: Path) -> None:
    """Have the store set aside when it is opened next, if the disk allows."""
    with suppress(OSError):
        (path / DAMAGED).touch()


def refuse_endless_manifest(path: Path) -> None:
    """Never let RocksDB read a manifest that it would read for ever.

    It is a log of records, each behind its sum, its length and its type. RocksDB checks
    the sums, but reads the types of recycled logs by other rules, and where one stands
    by mistake it spins, with the GIL held. It never writes one into a manifest.

    Raises:
        StoreError: if there is one.
    """
    try:
        name = (path / "CURRENT").read_text(encoding="utf-8").strip()
        data = (path / name).read_bytes() if _MANIFEST.fullmatch(name) else b""
    except (OSError, UnicodeDecodeError):
        return  # RocksDB tells what is missing
    at = 0
    while at + _PIECE_HEAD_BYTES <= len(data):
        left = _BLOCK_BYTES - at % _BLOCK_BYTES
        kind = data[at + _PIECE_HEAD_BYTES - 1] if left >= _PIECE_HEAD_BYTES else 0
        if kind > _LAST_PIECE:
            raise StoreError(
                f"expected a record of a manifest at byte {at} of "
                f"{str(path / name)!r}, but one of type {kind}"
            )
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        at += left if kind == 0 else _PIECE_HEAD_BYTES + size


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

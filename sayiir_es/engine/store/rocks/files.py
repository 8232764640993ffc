"""The directory of a RocksDB store: which files it may hold, how it is set aside."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = "DAMAGED"
"""Name of the file that marks a store as damaged."""

_STORE_FILE = re.compile(
    r"LOCK|CURRENT|IDENTITY|DAMAGED|LOG(\.old\.\d+)?|MANIFEST-\d+|OPTIONS-\d+"
    r"|\d+\.(sst|log|blob)|.*\.dbtmp|rocksdict-config\.json"
)

_MANIFEST = re.compile(r"MANIFEST-\d+")
_BLOCK_BYTES, _PIECE_HEAD_BYTES = 32_768, 7
_LAST_PIECE = 4
"""The highest type of a piece: 0 fills up a block, 1 is a whole record, 2 to 4 are its
first, middle and last piece."""


def folder_bytes(path: Path) -> int:
    """How many bytes the files of a store have; 0 where its folder is gone."""
    size = 0
    with suppress(OSError):
        for entry in os.scandir(path):
            with suppress(OSError):  # compaction deletes them meanwhile
                size += entry.stat().st_size
    return size


def is_damaged(path: Path) -> bool:
    """Whether the store is marked as damaged."""
    return (path / DAMAGED).exists()


def damage_of(path: Path) -> str:
    """Why the store was marked; empty if that is not known."""
    try:
        return (path / DAMAGED).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def mark_damaged(path: Path, reason: str) -> None:
    """Mark the store, so that the next opening sets it aside; best effort."""
    with suppress(OSError):
        (path / DAMAGED).write_text(reason, encoding="utf-8", errors="replace")


def refuse_endless_manifest(path: Path) -> None:
    """Refuse a manifest that RocksDB would read without end.

    A manifest is a log of records, each after its checksum, length and type. RocksDB
    checks the checksums, but has other rules for the types of recycled logs: if damage
    puts such a type into a manifest, it reads without end and holds the GIL. RocksDB
    itself never writes one there.

    Raises:
        StoreError: if the manifest has a piece of such a type.
    """
    try:
        name = (path / "CURRENT").read_text(encoding="utf-8").strip()
        data = (path / name).read_bytes() if _MANIFEST.fullmatch(name) else b""
    except (OSError, UnicodeDecodeError):
        return  # RocksDB's own error says what is missing
    at = 0
    while at + _PIECE_HEAD_BYTES <= len(data):
        room = _BLOCK_BYTES - at % _BLOCK_BYTES
        kind = data[at + _PIECE_HEAD_BYTES - 1] if room >= _PIECE_HEAD_BYTES else 0
        if kind > _LAST_PIECE:
            raise StoreError(
                f"expected a record of a manifest at byte {at} of "
                f"{str(path / name)!r}, but one of type {kind}"
            )
        size = int.from_bytes(data[at + 4 : at + 6], "little")
        at += room if kind == 0 else _PIECE_HEAD_BYTES + size


def refuse_foreign_files(path: Path) -> None:
    """Refuse a directory that was named by mistake and has other files.

    Raises:
        StoreError: if it holds a file that no store has.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreError(f"expected a directory at {str(path)!r}, but it is a file")
    for entry in path.iterdir():
        if entry.is_dir() or not _STORE_FILE.fullmatch(entry.name):
            raise StoreError(
                f"expected a store or nothing at {str(path)!r}, but it holds "
                f"{entry.name!r}"
            )


def set_aside(path: Path) -> Path:
    """Rename a damaged store, so that people can examine it; returns its new path.

    A store that was set aside earlier is deleted.

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

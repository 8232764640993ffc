"""The chain of a partition's records: a digest for each, of all up to it."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.audit.export.places import Place
    from sayiir_es.log.port import Record

FORMAT = "sayiir-es export"
VERSION = 1

_NOTE = struct.Struct(">q32s")
_LENGTHS = struct.Struct(">qqqqq")
_PAIR = struct.Struct(">qq")


class RecordChain:
    """The running SHA-256 over the records of one partition."""

    def __init__(self, place: Place) -> None:
        seed = f"{FORMAT} {VERSION}\n{place.stem}\n".encode()
        self.digest = hashlib.sha256(seed).digest()

    def add(self, record: Record) -> bytes:
        """Take the next record and return the digest of all so far."""
        key, value, headers = record.key, record.value, record.headers
        # Each part after its length (-1: null), so that no two records read alike.
        parts = [
            self.digest,
            _LENGTHS.pack(
                record.offset,
                record.timestamp_ms,
                -1 if key is None else len(key),
                -1 if value is None else len(value),
                len(headers),
            ),
            key or b"",
            value or b"",
        ]
        for name, content in headers:
            text = name.encode("utf-8", "surrogatepass")
            parts += (_PAIR.pack(len(text), len(content)), text, content)
        self.digest = hashlib.sha256(b"".join(parts)).digest()
        return self.digest

    def note(self, record: Record) -> bytes:
        """Take the next record and return what the chain file notes of it."""
        return _NOTE.pack(record.offset, self.add(record))


def notes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and digest of each record that a chain file notes."""
    with path.open("rb") as file:
        while len(data := file.read(_NOTE.size)) == _NOTE.size:
            offset, digest = _NOTE.unpack(data)
            yield offset, digest


def chain_path(folder: Path, place: Place) -> Path:
    """Where the chain of a partition is."""
    return folder / f"{place.stem}.chain"

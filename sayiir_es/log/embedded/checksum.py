"""The checksum that each record of an embedded log carries, and what is damaged.

Theory of operation. SQLite has checksums in its write-ahead file and none in the file
itself. So each row holds a CRC-32 over all that it says: topic, partition, offset, time
of writing, and key, value and headers with their lengths. It is written with the row,
and every reader computes it again before it gives the record to anybody. Builds before
wrote rows without one: they stand below an offset that the file names, and are read as
they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING
from zlib import crc32

from sayiir_es.core.model.errors import DamagedLogError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sayiir_es.log.port import Topic

_FRAME = Struct(">qqiii")
"""Offset, time, and the lengths of key, value and headers; −1 for none."""

ADVICE = "restore the file from a copy; nothing was decided on what it says"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPartition:
    """A partition of a topic in a file.

    Attributes:
        unchecked_end: Below this offset records have no checksum: a build before wrote
            them.
    """

    path: Path
    topic: Topic
    partition: int
    unchecked_end: int = 0
    _seed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        seed = crc32(f"{self.topic.value}/{self.partition}/".encode())
        object.__setattr__(self, "_seed", seed)

    def checksum(
        self,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: bytes | None,
    ) -> int:
        """The checksum of a record of this partition; `headers` as they are stored."""
        frame = _FRAME.pack(
            offset,
            timestamp_ms,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
            -1 if headers is None else len(headers),
        )
        total = crc32(frame, self._seed)
        for part in (key, value, headers):
            if part:
                total = crc32(part, total)
        return total

    def damage(self, offset: int, detail: str) -> DamagedLogError:
        """The error of a record that is not what was written."""
        return DamagedLogError(
            f"expected the record at offset {offset} of {self.topic.value!r} partition "
            f"{self.partition} in {str(self.path)!r} as it was written, but {detail}: "
            f"the file is damaged; {ADVICE}"
        )


def bounds_checksum(topic: str, partition: int, bounds: tuple[object, object]) -> int:
    """The checksum of a partition's first offset and the next one."""
    return crc32(repr((topic, partition, *bounds)).encode())


def meta_checksum(meta: Mapping[str, str]) -> str:
    """The checksum of what a file says of itself, its own entry excepted."""
    entries = sorted((key, value) for key, value in meta.items() if key != "checksum")
    return f"{crc32(repr(entries).encode()):08x}"

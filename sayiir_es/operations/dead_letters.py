"""The dead letters of a log, and the marks that tell what became of them.

Theory of operation. A dead letter is never changed. Its key is the place of the command
that could not be read. An owner that crashed in between may have written it twice, so
dead letters of one key are one, and the last counts: it is the one that the event
names. A *mark* is a later record of the same partition and key, whose first header is
`mark`, the word `retried` or `dropped`. A dead letter's first header is `reason`,
whatever headers the command itself brought. Only what has no mark is listed; all of it
stays on the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.model.errors import NotFoundError, UsageError
from sayiir_es.log.framing import FRAME_HEADER
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import ORIGIN_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0

MARK_HEADER = "mark"
OUR_HEADERS = ("reason", "position", "record-key")
"""Before the command's own headers, in this order."""

CUT_HEADER = "cut-from-bytes"
"""After them, where the dead letter does not hold all of the command."""

_PLACE = re.compile(rb"[0-9]+@[0-9]+")
_SIZE = re.compile(rb"[0-9]{1,18}")

Word: TypeAlias = Literal["retried", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What became of a dead letter; `detail` is the command's new place, or why."""

    word: str
    detail: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that nobody could read, without its bytes, which may be many.

    Attributes:
        command: Where the command stood, as `P@O`; the record's key.
        key: The command's own key.
        headers: The command's own headers.
        size: Bytes of the command's value; None if it had none.
        kept: Bytes of them that the dead letter holds, where it does not hold all.
    """

    partition: int
    offset: int
    command: str
    reason: str
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    size: int | None
    kept: int | None
    written_at_ms: int
    mark: Mark | None = None

    @property
    def place(self) -> str:
        """Its place as events name it."""
        return f"{self.partition}@{self.offset}"


def parse_place(text: str) -> tuple[int, int]:
    """Partition and offset of `P@O`.

    Raises:
        UsageError: if it is not of that form.
    """
    partition, separator, offset = text.partition("@")
    if not (separator and partition.isdecimal() and offset.isdecimal()):
        raise UsageError(f"expected PARTITION@OFFSET, such as 0@3, but {text!r}")
    return int(partition), int(offset)


async def all_dead_letters(log: Log) -> list[DeadLetter]:
    """Every dead letter of a log, with its mark, the last written first."""
    dead_letters: list[DeadLetter] = []
    for partition in range(log.partitions):
        dead_letters += (await _in_partition(log, partition)).values()
    return sorted(dead_letters, key=_age, reverse=True)


def _age(dead_letter: DeadLetter) -> tuple[int, int, int]:
    return dead_letter.written_at_ms, dead_letter.partition, dead_letter.offset


async def get_dead_letter(log: Log, place: str) -> tuple[DeadLetter, bytes | None]:
    """The dead letter at `P@O` with its mark, and the bytes that it holds.

    Raises:
        UsageError: if `place` is not of that form.
        NotFoundError: if there is none.
    """
    partition, offset = parse_place(place)
    if partition < log.partitions:
        by_command = await _in_partition(log, partition)
        async for record in _records(log, partition):
            if record.offset != offset:
                continue
            dead_letter = _dead_letter_of(record, partition)
            if dead_letter is not None:
                return by_command[dead_letter.command], record.value
    raise NotFoundError(f"expected a dead letter at {place!r}, but there is none")


async def mark(log: Log, dead_letter: DeadLetter, word: Word, detail: str) -> None:
    """Record what became of a dead letter."""
    await log.produce(
        Topic.DEAD_LETTERS,
        dead_letter.partition,
        NewRecord(
            key=dead_letter.command.encode(),
            value=None,
            headers=(
                (MARK_HEADER, word.encode()),
                ("detail", detail.encode()),
                ("dead-letter", dead_letter.place.encode()),
            ),
        ),
    )


def original(dead_letter: DeadLetter, value: bytes | None) -> NewRecord:
    """The command as its producer wrote it; what an owner added on the way is gone."""
    added = (ORIGIN_HEADER, FRAME_HEADER)
    headers = tuple(header for header in dead_letter.headers if header[0] not in added)
    return NewRecord(key=dead_letter.key, value=value, headers=headers)


async def _in_partition(log: Log, partition: int) -> dict[str, DeadLetter]:
    """The dead letters of a partition by the place of their command."""
    by_command: dict[str, DeadLetter] = {}
    async for record in _records(log, partition):
        dead_letter = _dead_letter_of(record, partition)
        if dead_letter is not None:
            by_command[dead_letter.command] = dead_letter
            continue
        marked = by_command.get((record.key or b"").decode("utf-8", "replace"))
        new_mark = _mark_of(record)
        if marked is not None and new_mark is not None:
            by_command[marked.command] = replace(marked, mark=new_mark)
    return by_command


async def _records(log: Log, partition: int) -> AsyncIterator[Record]:
    start = await log.start_offset(Topic.DEAD_LETTERS, partition)
    end = await log.end_offset(Topic.DEAD_LETTERS, partition)
    if start >= end:
        return
    reader = await log.reader(Topic.DEAD_LETTERS, partition, start)
    try:
        at = start
        while at < end:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is None:
                continue
            for record in chunk.records:
                yield record
            at = chunk.end
    finally:
        await reader.close()


def _dead_letter_of(record: Record, partition: int) -> DeadLetter | None:
    names = tuple(name for name, _ in record.headers[: len(OUR_HEADERS)])
    if names != OUR_HEADERS or _PLACE.fullmatch(record.headers[1][1]) is None:
        return None
    (_, reason), (_, position), (_, key), *rest = record.headers
    stored_bytes = None if record.value is None else len(record.value)
    size = stored_bytes
    # The command may have had a header of that name; ours is never below the size.
    if rest and rest[0][0] == CUT_HEADER and _SIZE.fullmatch(rest[0][1]):
        size = max(int(rest[0][1]), stored_bytes or 0)
    is_cut = size != stored_bytes
    return DeadLetter(
        partition=partition,
        offset=record.offset,
        command=position.decode(),
        reason=reason.decode("utf-8", "replace"),
        key=key or None,
        headers=tuple(rest[is_cut:]),
        size=size,
        kept=stored_bytes if is_cut else None,
        written_at_ms=record.timestamp_ms,
    )


def _mark_of(record: Record) -> Mark | None:
    if not record.headers or record.headers[0][0] != MARK_HEADER:
        return None
    headers = dict(record.headers)
    return Mark(
        word=headers[MARK_HEADER].decode("utf-8", "replace"),
        detail=headers.get("detail", b"").decode("utf-8", "replace"),
        at_ms=record.timestamp_ms,
    )

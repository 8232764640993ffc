"""Import an export into an empty log: the same records at the same offsets.

Theory of operation. Events name offsets (claims, causes, dead letters), so a record
must stand where it stood: an export with gaps among events, commands or dead letters
is refused, since no log lets anyone write behind a gap. Nothing names the offset of a
definition; there gaps (of compaction, of an app's own record) are closed.

The whole export is held to its chains before the first record is written. Commands are
written last: should the import break off, an owner finds a position beyond the end of
the commands and stops, instead of deciding commands a second time.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.audit.export.checking import ExportFiles
from sayiir_es.audit.export.export import APP_KEY
from sayiir_es.audit.export.manifest import Manifest, read_manifest
from sayiir_es.audit.export.origin import as_imported
from sayiir_es.audit.export.places import places
from sayiir_es.audit.verify.log import read_to, silent
from sayiir_es.client.backends import use_backend
from sayiir_es.client.backends.framing import without_framing
from sayiir_es.core.model.errors import (
    AppNotFoundError,
    DecodeError,
    LogError,
    UsageError,
)
from sayiir_es.log.batch_size import payload_bytes
from sayiir_es.log.port import CheckedLog, SizedLog, Topic

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sayiir_es.audit.export.manifest import FileEntry
    from sayiir_es.audit.export.places import Place
    from sayiir_es.audit.verify.log import Progress
    from sayiir_es.client.backends import Backend
    from sayiir_es.log.port import Log, NewRecord, Record

BATCH_RECORDS_MAX = 500
BATCH_BYTES_MAX = 512 * 1024
"""A batch ends before the record that exceeds either; as an owner's decisions do."""

_ORDER = (Topic.DEFINITIONS, Topic.EVENTS, Topic.DEAD_LETTERS, Topic.COMMANDS)


def import_export(backend: Backend | str, path: str | os.PathLike[str]) -> Manifest:
    """Import an export into a backend's log, which is made if there is none.

    Raises:
        UsageError: if there is no whole export, it has gaps, or the log has records or
            another count of partitions.
        DecodeError: if a record is not what was exported; names the first.
        LogUnavailableError: if nothing answers.
    """
    with use_backend(backend) as opened_backend:
        return opened_backend.thread.call(import_into(opened_backend.open_log(), path))


async def import_into(
    log: Log, path: str | os.PathLike[str], progress: Progress = silent
) -> Manifest:
    """As `import_export`, into a log that is not open yet; it is closed at the end."""
    bare = without_framing(log)  # the records of an export have their frames
    folder = Path(path)
    manifest = read_manifest(folder)
    files = ExportFiles(folder, manifest)
    _check(manifest, files)
    try:
        await _open(bare, manifest.partitions)
        await _check_empty(bare)
        run = _Import(bare, manifest, files, progress)
        for topic in _ORDER:
            for entry in manifest.files:
                if entry.place.topic is topic:
                    await run.write(entry)
        return manifest
    finally:
        await bare.close()


def _check(manifest: Manifest, files: ExportFiles) -> None:
    for entry in manifest.files:
        if entry.has_gaps and entry.place.topic is not Topic.DEFINITIONS:
            raise UsageError(
                f"expected a record at each offset of {entry.place.stem!r} from 0 to "
                f"{entry.end}, but the export holds {entry.records} from {entry.start} "
                "on: they cannot stand in a new log where they stood"
            )
    for violation in files.violations(silent):
        raise DecodeError(
            f"expected {violation.expected} at {violation.partition}@"
            f"{violation.offset}, but {violation.seen}"
        )


async def _open(log: Log, partitions: int) -> None:
    try:
        await log.open(create=False)
    except AppNotFoundError as error:
        if isinstance(log, SizedLog):
            log.set_new_partitions(partitions)
        # Not before the count is known to fit: it can never be changed in place.
        _check_count(log, partitions, error)
        await log.open(create=True)
    _check_count(log, partitions)
    if isinstance(log, CheckedLog):
        log.check_writable()


def _check_count(log: Log, partitions: int, cause: LogError | None = None) -> None:
    if log.partitions != partitions:
        raise UsageError(
            f"expected a log of {partitions} partitions, as the export has, but it has "
            f"{log.partitions}: import it into an app on Kafka that is not there yet, "
            "which is made with as many"
        ) from cause


async def _check_empty(log: Log) -> None:
    for place in places(log.partitions):
        count = await _count(log, place)
        if count:
            raise UsageError(
                f"expected an empty log, but {place.stem!r} has {count} records"
            )


async def _count(log: Log, place: Place) -> int:
    """How many records of a history are there."""
    end = await log.end_offset(place.topic, place.partition)
    if place.topic is not Topic.DEFINITIONS:
        return end
    start = await log.start_offset(place.topic, place.partition)
    count = 0
    async for chunk in read_to(log, place.topic, place.partition, start, end):
        count += sum(record.key != APP_KEY for record in chunk.records)
    return count


class _Import:
    def __init__(
        self, log: Log, manifest: Manifest, files: ExportFiles, progress: Progress
    ) -> None:
        self._log = log
        self._files = files
        self._progress = progress
        self._done, self._total = 0, manifest.records

    async def write(self, entry: FileEntry) -> None:
        """Write the records of one file."""
        append = self._produce
        if entry.place.topic is Topic.EVENTS:
            append = self._append
        place = 0
        for batch in _batches(self._files.records(entry)):
            base = await append(entry.place, batch)
            if base != place and entry.place.topic is not Topic.DEFINITIONS:
                raise LogError(
                    f"expected to write offset {place} of {entry.place.stem!r}, but it "
                    f"was {base}: somebody else writes; delete this log and begin anew"
                )
            place += len(batch)
            self._done += len(batch)
            self._progress(self._done, self._total)

    async def _append(self, place: Place, batch: list[NewRecord]) -> int:
        appender = await self._log.appender(place.partition)
        try:
            return await appender.append(batch)
        finally:
            await appender.close()

    async def _produce(self, place: Place, batch: list[NewRecord]) -> int:
        # They land in the order of the calls, in as few writes as the log can.
        offsets = await asyncio.gather(
            *(self._log.produce(place.topic, place.partition, one) for one in batch)
        )
        ahead = [at for at, offset in enumerate(offsets) if offset != offsets[0] + at]
        if ahead:
            raise LogError(
                f"expected to write offset {offsets[0] + ahead[0]} of {place.stem!r}, "
                f"but it was {offsets[ahead[0]]}: somebody else writes"
            )
        return offsets[0]


def _batches(records: Iterator[Record]) -> Iterator[list[NewRecord]]:
    while batch := list(islice(records, BATCH_RECORDS_MAX)):
        yield from _cut([as_imported(record) for record in batch])


def _cut(records: list[NewRecord]) -> Iterator[list[NewRecord]]:
    batch: list[NewRecord] = []
    size = 0
    for record in records:
        more = payload_bytes((record,))
        if batch and size + more > BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += more
    yield batch

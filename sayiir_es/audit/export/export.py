"""Export a log into a directory: every record with its exact bytes, and their chains.

Theory of operation. Everything is written into a directory of another name beside the
wanted one, made durable, and renamed last: an export is there whole or not at all. One
chunk of the log and one block of a file are in memory. Offsets stay what they are:
where the log reports a gap (control records of a transaction, records of an aborted
one) the export has one, and a missing record without such a report stops it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.audit.export.files import file_format_of
from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.audit.export.manifest import (
    MANIFEST,
    PARTIAL,
    FileEntry,
    Manifest,
    manifest_bytes,
)
from sayiir_es.audit.export.origin import as_exported
from sayiir_es.audit.export.places import places
from sayiir_es.audit.export.record_chain import RecordChain, chain_path
from sayiir_es.audit.verify.log import read_to, silent
from sayiir_es.client.backends import use_backend
from sayiir_es.core.model.errors import HoleInHistoryError, UsageError
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO

    from sayiir_es.audit.export.formats import FileFormat, FileWriter
    from sayiir_es.audit.export.places import Place
    from sayiir_es.audit.verify.log import Progress
    from sayiir_es.client.backends import Backend
    from sayiir_es.log.port import Chunk, Log, Record

APP_KEY = b"app"
"""On definitions: what Kafka's topics of this app are, which is no history."""


def export(
    backend: Backend | str,
    path: str | os.PathLike[str],
    *,
    file_format: ExportFormat | str = ExportFormat.AVRO,
) -> Manifest:
    """Export a backend's log, as it stands now; workers may go on meanwhile.

    Args:
        backend: A backend or its URL.
        path: The directory to make.
        file_format: `avro`, `jsonl` or `parquet` (needs the extra `audit`).

    Raises:
        UsageError: if `path` exists, or pyarrow is needed and not installed.
        LogUnavailableError: if there is no log, or nothing answers.
        HoleInHistoryError: if the log lacks a record without saying why.
    """
    export_format = ExportFormat(file_format)
    with use_backend(backend) as opened_backend:
        return opened_backend.thread.call(
            export_log(opened_backend.open_log(), path, export_format)
        )


async def export_log(
    log: Log,
    path: str | os.PathLike[str],
    file_format: ExportFormat = ExportFormat.AVRO,
    progress: Progress = silent,
) -> Manifest:
    """As `export`, of a log that is not open yet; it is closed at the end."""
    files = file_format_of(file_format)
    try:
        await log.open(create=False)
        with _staged(Path(path)) as folder:
            run = _Export(log, folder, files, file_format, progress)
            manifest = await run.run()
            _write_manifest(folder, manifest)
        return manifest
    finally:
        await log.close()


class _Export:
    def __init__(
        self,
        log: Log,
        folder: Path,
        files: FileFormat,
        file_format: ExportFormat,
        progress: Progress,
    ) -> None:
        self._log = log
        self._folder = folder
        self._files = files
        self._format = file_format
        self._progress = progress
        self._done = self._total = 0

    async def run(self) -> Manifest:
        log = self._log
        all_places = places(log.partitions)
        ends = {p: await log.end_offset(p.topic, p.partition) for p in all_places}
        starts = {p: await log.start_offset(p.topic, p.partition) for p in all_places}
        self._total = sum(max(ends[place] - starts[place], 0) for place in all_places)
        entries = [
            await self._file(place, starts[place], ends[place]) for place in all_places
        ]
        return Manifest(
            file_format=self._format, partitions=log.partitions, files=tuple(entries)
        )

    async def _file(self, place: Place, start: int, end: int) -> FileEntry:
        path = self._folder / f"{place.stem}.{self._format.value}"
        with path.open("wb") as file, chain_path(self._folder, place).open("wb") as to:
            output = _Output(place, self._files.writer(file, place), to)
            async for chunk in read_to(
                self._log, place.topic, place.partition, start, end
            ):
                _check_whole(place, chunk)
                for record in chunk.records:
                    if record.offset < end:
                        output.take(record)
                self._done += min(chunk.end, end) - chunk.start
                self._progress(self._done, self._total)
            output.close()
        return FileEntry(
            place=place,
            start=start,
            end=end,
            records=output.records,
            chain=output.chain.digest.hex(),
            sha256=file_sha256(path),
        )


class _Output:
    def __init__(self, place: Place, writer: FileWriter, notes: BinaryIO) -> None:
        self.chain = RecordChain(place)
        self.records = 0
        self._place = place
        self._writer = writer
        self._notes = notes

    def take(self, record: Record) -> None:
        if self._place.topic is Topic.DEFINITIONS and record.key == APP_KEY:
            return
        exported = as_exported(record)
        self._writer.write(exported)
        self._notes.write(self.chain.note(exported))
        self.records += 1

    def close(self) -> None:
        self._writer.close()


def _check_whole(place: Place, chunk: Chunk) -> None:
    """Refuse a chunk that lacks a record which the log did not report as a gap."""
    missing = sum(past - first for first, past in chunk.gaps)
    if len(chunk.records) + missing != chunk.end - chunk.start:
        raise HoleInHistoryError(
            f"expected every record of {place.stem!r} from {chunk.start} to "
            f"{chunk.end}, but {len(chunk.records)} and gaps of {missing}"
        )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- whole or not at all --------------------------------------------------------------


@contextmanager
def _staged(path: Path) -> Generator[Path]:
    """A directory to fill; it gets its name when all went well, else it is deleted."""
    if path.exists():
        raise UsageError(f"expected a new directory, but {str(path)!r} exists")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(
            prefix=f".{path.name}-", suffix=PARTIAL, dir=path.parent
        )
    except OSError as error:
        raise UsageError(f"expected a place for an export, but {error}") from error
    folder = Path(partial)
    try:
        yield folder
        for file in folder.iterdir():
            _sync(file)
        _sync(folder)
        folder.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_bytes(manifest_bytes(manifest))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

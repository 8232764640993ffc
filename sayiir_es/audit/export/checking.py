"""Hold the files of an export to its chain and manifest; read their records.

Theory of operation. The chain is computed anew over the records and compared with what
the chain file notes of each: the first one that differs is named. Whoever also writes
the chain file anew is found by its last digest, which the manifest holds, and what is
shown beside the exact bytes by the digest of the whole file. Whoever writes the
manifest anew is found only by a copy of it that is kept elsewhere.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from fastavro.schema import SchemaParseException

from sayiir_es.audit.export.export import file_sha256
from sayiir_es.audit.export.files import file_format_of
from sayiir_es.audit.export.record_chain import RecordChain, chain_path, notes
from sayiir_es.audit.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.audit.export.formats import FileFormat
    from sayiir_es.audit.export.manifest import FileEntry, Manifest
    from sayiir_es.audit.verify.log import Progress
    from sayiir_es.log.port import Record

CHAIN = "chain"
"""The `invariant` of a violation that a chain of an export shows."""

DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    SchemaParseException,
    zlib.error,
)
"""What the libraries raise for bytes that are not what they wrote."""

PROGRESS_RECORDS = 1_000


class ExportFiles:
    """The records of an export, file by file."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._files: FileFormat = file_format_of(manifest.file_format)

    def records(self, entry: FileEntry) -> Iterator[Record]:
        """The records of one file, in order; check it before."""
        path = self._manifest.path(self._folder, entry)
        return (record for record, _ in self._files.rows(path))

    def violations(self, progress: Progress) -> Iterator[Violation]:
        """Yield the first record of each file that is not what was exported."""
        done = 0
        for entry in self._manifest.files:
            check = _FileCheck(self._folder, self._manifest, entry, self._files)
            for count in check.run():
                progress(done + count, self._manifest.records)
            done += entry.records
            if check.violation is not None:
                yield check.violation


class _FileCheck:
    """One file held to its chain; `violation` is what is wrong with it."""

    def __init__(
        self, folder: Path, manifest: Manifest, entry: FileEntry, files: FileFormat
    ) -> None:
        self.violation: Violation | None = None
        self._path = manifest.path(folder, entry)
        self._notes_path = chain_path(folder, entry.place)
        self._entry = entry
        self._files = files
        self._next = entry.start

    def run(self) -> Iterator[int]:
        """Check the file; yields how many records were checked, now and then."""
        try:
            yield from self._chain()
            if self.violation is None and file_sha256(self._path) != self._entry.sha256:
                self._find_changed_fields()
        except DAMAGE as error:
            self._broken(self._next, "one that can be read", repr(error))

    def _chain(self) -> Iterator[int]:
        chain_notes = notes(self._notes_path)
        chain = RecordChain(self._entry.place)
        count = 0
        try:
            for record, _ in self._files.rows(self._path):
                note = next(chain_notes, None)
                digest = chain.add(record)
                if note != (record.offset, digest):
                    self._differs(record, note)
                    return
                count += 1
                self._next = record.offset + 1
                if count % PROGRESS_RECORDS == 0:
                    yield count
        except DAMAGE:
            # Named by the chain: gaps make the next offset more than one above.
            note = next(chain_notes, None)
            if note is not None:
                self._next = note[0]
            raise
        note = next(chain_notes, None)
        if note is not None:
            self._broken(note[0], "one there", "the file ends before it")
        elif (count, chain.digest.hex()) != (self._entry.records, self._entry.chain):
            expected = f"the last of {self._entry.records} with the manifest's digest"
            seen = f"{count} records end with another"
            self._broken(max(self._next - 1, self._entry.start), expected, seen)
        yield count

    def _differs(self, record: Record, note: tuple[int, bytes] | None) -> None:
        if note is None:
            seen = "more follow than were exported"
            self._broken(record.offset, "the file to end before it", seen)
        elif record.offset == note[0]:
            self._broken(
                note[0], "the record that was exported", "another stands there"
            )
        elif record.offset > note[0]:
            seen = f"it is missing: {record.offset} stands in its place"
            self._broken(note[0], "one there", seen)
        else:
            seen = f"it stands where {note[0]} was exported"
            self._broken(record.offset, "none there", seen)

    def _find_changed_fields(self) -> None:
        """The chain holds and the file differs: what is shown beside the bytes."""
        place = self._entry.place
        for record, fields in self._files.rows(self._path):
            if fields != self._files.fields_of(place, record):
                seen = "they are others"
                self._broken(record.offset, "the fields that its bytes give", seen)
                return
        seen = "its digest is another"
        self._broken(self._entry.start, "the bytes of the file as exported", seen)

    def _broken(self, offset: int, expected: str, seen: str) -> None:
        place = self._entry.place
        self.violation = Violation(
            invariant=CHAIN,
            partition=place.partition,
            offset=offset,
            instance_id="",
            expected=f"of {place.topic.value} {expected}",
            seen=seen,
        )

"""Verify an export without a log: its chains first, then every invariant of its events.

Theory of operation. Where a chain is broken nothing more is checked: what the rules
would say of records that are not the exported ones would only repeat it. Commands are
read in step with the answers, as from a log, so that memory holds what is live.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.audit.export.checking import ExportFiles
from sayiir_es.audit.export.manifest import read_manifest
from sayiir_es.audit.verify.checker import Checker
from sayiir_es.audit.verify.log import silent
from sayiir_es.audit.verify.verify import VIOLATIONS_MAX, Verdict, keys_of
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sayiir_es.audit.export.manifest import FileEntry, Manifest
    from sayiir_es.audit.verify.log import Progress
    from sayiir_es.audit.violation import Violation
    from sayiir_es.log.port import Record

PROGRESS_RECORDS = 1_000


def verify_export(
    path: str | os.PathLike[str],
    *,
    instance_id: str | None = None,
    public_key: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Verdict:
    """Check that an export is what was exported, and every invariant of its events.

    Args:
        path: The directory of the export.
        instance_id: Check the invariants of this instance only; I3 is left out.
        public_key: A PEM file of Ed25519 keys: a checkpoint must be signed by one.
        progress: Hears how far it is: twice over the records.

    Raises:
        UsageError: if there is no whole export, `public_key` holds no such key, or one
            instance is asked for with a key.
        DecodeError: if its manifest is none.
    """
    keys = keys_of(public_key, instance_id)
    folder = Path(path)
    manifest = read_manifest(folder)
    files = ExportFiles(folder, manifest)
    chain_violations = list(islice(files.violations(progress), VIOLATIONS_MAX))
    if chain_violations:
        return Verdict(events=0, violations=tuple(chain_violations))
    checker = Checker(
        partitions=manifest.partitions, instance_id=instance_id, keys=keys
    )
    run = _Checking(files, manifest, checker, instance_id, progress)
    violations = tuple(islice(run.violations(), VIOLATIONS_MAX))
    return Verdict(events=checker.events, violations=violations, proofs=checker.proofs)


class _Checking:
    def __init__(
        self,
        files: ExportFiles,
        manifest: Manifest,
        checker: Checker,
        instance_id: str | None,
        progress: Progress,
    ) -> None:
        self.checker = checker
        self._files = files
        self._manifest = manifest
        self._instance_id = instance_id
        self._progress = progress
        self._done = 0

    def violations(self) -> Iterator[Violation]:
        count = self._manifest.partitions
        partitions = range(count)
        if self._instance_id is not None:
            home = partition_of(self._instance_id.encode(), count)
            partitions = range(home, home + 1)
        for record in self._files.records(self._manifest.entry(Topic.DEFINITIONS, 0)):
            self.checker.take_definition(record.value)
        for partition in partitions:
            yield from self._partition(partition)
        yield from self.checker.finish()

    def _partition(self, partition: int) -> Iterator[Violation]:
        checker, entry = self.checker, self._manifest.entry(Topic.EVENTS, partition)
        commands = None
        if self._instance_id is None:
            source = self._manifest.entry(Topic.COMMANDS, partition)
            commands = _Commands(checker, source, self._files.records(source))
        place = entry.start
        for record in self._files.records(entry):
            if record.offset > place:
                checker.take_gap(partition, place, record.offset)
            yield from checker.take(partition, record)
            place = record.offset + 1
            if commands is not None:
                yield from commands.follow()
            self._done += 1
            if self._done % PROGRESS_RECORDS == 0:
                self._progress(self._done, self._manifest.records)
        if entry.end > place:
            checker.take_gap(partition, place, entry.end)


class _Commands:
    """The commands of one partition, read as far as they are answered."""

    def __init__(
        self, checker: Checker, entry: FileEntry, records: Iterator[Record]
    ) -> None:
        self._checker = checker
        self._entry = entry
        self._records = records
        self._next = entry.start

    def follow(self) -> Iterator[Violation]:
        partition, start = self._entry.place.partition, self._entry.start
        end = self._checker.commands_wanted(partition)
        while self._next < min(end, self._entry.end):
            record = next(self._records, None)
            offsets = [] if record is None else [record.offset]
            self._next = self._entry.end if record is None else record.offset + 1
            yield from self._checker.take_commands(
                partition, offsets, past=self._next, start=start
            )

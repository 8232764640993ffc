"""Whether schemas can still read, and be read by, all that were ever published.

Theory of operation. Compatibility is *full transitive*: of the versions of one record,
those in `frozen/` and today's, each reads what each other wrote, by Avro's rules of
schema resolution for flat records: a field that the writer lacks needs a default, a
field that both have must be of a type that resolves. History is never rewritten, so a
version that was published once counts for ever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from sayiir_es.core.json_fields import Fields
from sayiir_es.core.model.errors import DecodeError, UsageError
from sayiir_es.wire.schema import HEAD_BYTES, MAGIC, parse_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from sayiir_es.wire.schema import RecordSchema

FROZEN = "frozen"
SUFFIX = ".avsc"
TODAY = "today's"

_PROMOTED = {"int": ("long",), "string": ("bytes",), "bytes": ("string",)}
"""What a reader may take a writer's type for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVersion:
    """One version of a record; `version` is its number, or "today's"."""

    name: str
    version: str
    doc: str
    schema: RecordSchema

    @property
    def fingerprint(self) -> str:
        """CRC-64-AVRO, as in the head of what this version writes."""
        return self.schema.head[len(MAGIC) : HEAD_BYTES].hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCheck:
    """A record, how many versions of it there are, and what is wrong with them."""

    name: str
    versions: int
    problems: tuple[str, ...]


def versions_in(directory: Traversable) -> dict[str, list[RecordVersion]]:
    """The versions of every record, oldest first, today's last if there is one.

    Raises:
        UsageError: if there is no schema, or a file is none.
    """
    versions: dict[str, list[RecordVersion]] = {}
    frozen = directory / FROZEN
    for folder in (frozen, directory):
        if not folder.is_dir():
            raise UsageError(f"expected a directory of schemas, but none at {folder}")
        for file in sorted(folder.iterdir(), key=lambda one: _order(one.name)):
            if file.name.endswith(SUFFIX):
                version = _read(file, is_frozen=folder is not directory)
                versions.setdefault(version.name, []).append(version)
    if not versions:
        raise UsageError(f"expected schemas in {directory}, but there are none")
    return versions


def check_all(directory: Traversable) -> list[RecordCheck]:
    """What is wrong with the schemas of a directory, by record.

    Raises:
        UsageError: as `versions_in`.
    """
    return [
        RecordCheck(
            name=name,
            versions=_count_published(versions),
            problems=tuple(_problems(versions)),
        )
        for name, versions in sorted(versions_in(directory).items())
    ]


def unreadable(reader: RecordVersion, writer: RecordVersion) -> Iterator[str]:
    """Why a reader could not read what a writer wrote; nothing if it can."""
    written = {field.name: field.shape for field in writer.schema.fields}
    for field in reader.schema.fields:
        shape = written.get(field.name)
        if shape is None:
            if field.name not in reader.schema.defaults:
                yield (
                    f"{field.name!r} has no default, and {writer.version} does not "
                    "write it"
                )
        elif not _resolves(field.shape, shape):
            yield (
                f"{field.name!r} is {field.shape}, but {writer.version} wrote {shape}"
            )


def _problems(versions: list[RecordVersion]) -> Iterator[str]:
    today = versions[-1]
    if today.version != TODAY:
        yield "published once, but no longer there: what it wrote cannot be read"
        return
    if today.fingerprint not in {one.fingerprint for one in versions[:-1]}:
        yield f"today's is not in {FROZEN}/: freeze it before it is published"
    for reader, writer in permutations(versions, 2):
        for problem in unreadable(reader, writer):
            yield f"{reader.version} cannot read: {problem}"


def _count_published(versions: list[RecordVersion]) -> int:
    return sum(one.version != TODAY for one in versions)


def _read(file: Traversable, *, is_frozen: bool) -> RecordVersion:
    stem = file.name.removesuffix(SUFFIX)
    expected_name, version = stem, TODAY
    if is_frozen:
        expected_name, _, number = stem.rpartition(".")
        version = f"version {number}"
    text = file.read_text(encoding="utf-8")
    try:
        record = Fields(json.loads(text), file.name)
        name = f"{record.text('namespace')}.{record.text('name')}"
        schema = parse_record(text)
    except (ValueError, KeyError, TypeError, DecodeError) as error:
        raise UsageError(f"expected a flat record in {file.name}, but {error}") from (
            error
        )
    if name != expected_name:
        raise UsageError(f"expected {expected_name!r} in {file.name}, but {name!r}")
    doc = record.text_or_none("doc") or ""
    return RecordVersion(name=name, version=version, doc=doc, schema=schema)


def _order(name: str) -> tuple[str, int]:
    """By record, then by number: version 10 comes after version 9."""
    stem, _, number = name.removesuffix(SUFFIX).rpartition(".")
    return (stem, int(number)) if number.isdecimal() else (name, 0)


def _resolves(reader: str, writer: str) -> bool:
    """Whether a shape such as `long?` or `{string}` can be read as another."""
    if reader.endswith("?"):
        return writer == reader or _resolves(reader[:-1], writer.removesuffix("?"))
    return reader == writer or reader in _PROMOTED.get(writer, ())

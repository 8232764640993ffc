"""Whole flat Avro records, field by field, with an error that names the field.

Commands are always written and read here. Events have a faster way (`wire.events`) and
come here only when it fails, to find out which field is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.binary import READERS, WRITERS
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.schema import HEAD_BYTES, MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.wire.schema import RecordSchema

UNWRITABLE = (AttributeError, TypeError, ValueError, OverflowError, LookupError)
"""The errors of writers for a value that is not of the field's type or range."""


def write_record(schema: RecordSchema, values: Mapping[str, object]) -> bytes:
    """Encode a record in single-object encoding.

    Raises:
        EncodeError: if a value is not what its field takes; names the field.
    """
    parts = [schema.head]
    for field in schema.fields:
        value = values[field.name]
        try:
            parts.append(WRITERS[field.shape](value))
        except UNWRITABLE as error:
            raise EncodeError(
                f"expected a value of {schema.name}.{field.name} ({field.shape}), but "
                f"{excerpt_of(value)}"
            ) from error
    return b"".join(parts)


def read_record(
    schema: RecordSchema, newest: RecordSchema, data: bytes
) -> dict[str, object]:
    """Decode a record that `schema` wrote into the fields of `newest`.

    Raises:
        UnreadableError: if the bytes are not such a record; names the field.
    """
    values = dict(newest.defaults)
    place = HEAD_BYTES
    for field in schema.fields:
        try:
            values[field.name], place = READERS[field.shape](data, place)
        except (IndexError, UnicodeDecodeError, UnreadableError) as error:
            field_name = f"{schema.name}.{field.name}"
            raise _unreadable(field_name, len(data), error) from error
    if place != len(data):
        raise UnreadableError(
            f"expected {schema.name} to end after {place} bytes, but "
            f"{len(data) - place} more follow",
            reason="trailing_bytes",
        )
    return values


def _unreadable(
    field_name: str,
    size: int,
    error: IndexError | UnicodeDecodeError | UnreadableError,
) -> UnreadableError:
    """What the error of a field's reader means, for a record of so many bytes."""
    if isinstance(error, UnreadableError):
        return UnreadableError(f"{error} in {field_name}", reason=error.reason)
    if isinstance(error, UnicodeDecodeError):
        excerpt = excerpt_of(error.object[error.start : error.start + 8])
        return UnreadableError(
            f"expected UTF-8 in {field_name}, but bytes {excerpt}", reason="bad_text"
        )
    return UnreadableError(
        f"expected {field_name}, but the record ends after {size} bytes",
        reason="truncated",
    )


def check_head(data: bytes) -> None:
    """Refuse bytes that are not in single-object encoding.

    Raises:
        UnreadableError: if it is too short for a head or begins otherwise.
    """
    if not data:
        raise UnreadableError(
            "expected an Avro record, but no bytes at all", reason="empty"
        )
    if not data.startswith(MAGIC[: len(data)]):
        raise UnreadableError(
            f"expected bytes that begin with {MAGIC.hex()}, but {data[:2].hex()}",
            reason="bad_magic",
        )
    if len(data) < HEAD_BYTES:
        raise UnreadableError(
            f"expected a head of {HEAD_BYTES} bytes, but {len(data)}",
            reason="truncated",
        )

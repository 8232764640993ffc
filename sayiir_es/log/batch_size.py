"""How large a batch is, and how large the local logs let it be.

Theory of operation. All logs count alike: what each record takes in a Kafka record
batch of the second format, with its length, its deltas, and the lengths of key, value
and headers. Where a varint depends on the place of the record in its batch, its longest
form counts, so that a batch is never larger than the sum of its records says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import BatchTooLargeError
from sayiir_es.core.model.record_size import header_bytes, record_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import NewRecord

MAX_BATCH_BYTES = 900_000
"""Below what a Kafka topic with default settings takes: what fits here fits there."""


def bytes_in_batch(record: NewRecord) -> int:
    """Return the most bytes that a record takes in a batch, whatever is beside it."""
    headers = headers_bytes(record.headers)
    return record_bytes(len(record.key or b""), len(record.value or b""), headers)


def headers_bytes(headers: Sequence[tuple[str, bytes]]) -> int:
    """Return the bytes of a record's headers, without that of their number."""
    size = 0
    for name, value in headers:
        length = len(name) if name.isascii() else len(name.encode())
        size += header_bytes(length, len(value))
    return size


def batch_bytes(batch: Sequence[NewRecord]) -> int:
    """Return the most bytes that the records take in one batch."""
    return sum(map(bytes_in_batch, batch))


def payload_bytes(batch: Sequence[NewRecord]) -> int:
    """Return the bytes of keys, values and headers."""
    size = 0
    for record in batch:
        size += len(record.key or b"") + len(record.value or b"")
        for name, value in record.headers:
            size += len(name.encode()) + len(value)
    return size


def check_batch(batch: Sequence[NewRecord], limit: int = MAX_BATCH_BYTES) -> int:
    """Refuse a batch that a log does not take; return its size in bytes.

    Raises:
        BatchTooLargeError: it has more than `limit` bytes.
        ValueError: it has no record.
    """
    if not batch:
        raise ValueError("expected a batch of at least one record, but it is empty")
    size = batch_bytes(batch)
    if size > limit:
        raise BatchTooLargeError(
            f"expected at most {limit} bytes in one batch, but it has {size}"
        )
    return size

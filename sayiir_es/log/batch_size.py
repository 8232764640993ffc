"""How large a batch is, and how large the local logs let it be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import BatchTooLargeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import NewRecord

MAX_BATCH_BYTES = 900_000
"""Below what a Kafka topic with default settings takes: what fits here fits there."""


def payload_bytes(batch: Sequence[NewRecord]) -> int:
    """Return the bytes of keys, values and headers."""
    size = 0
    for record in batch:
        size += len(record.key or b"") + len(record.value or b"")
        for name, value in record.headers:
            size += len(name.encode()) + len(value)
    return size


def check_batch(batch: Sequence[NewRecord]) -> None:
    """Refuse a batch that no local log takes.

    Raises:
        BatchTooLargeError: it has more than `MAX_BATCH_BYTES`.
        ValueError: it has no record.
    """
    if not batch:
        raise ValueError("expected a batch of at least one record, but it is empty")
    size = payload_bytes(batch)
    if size > MAX_BATCH_BYTES:
        raise BatchTooLargeError(
            f"expected at most {MAX_BATCH_BYTES} bytes in one batch, but it has {size}"
        )

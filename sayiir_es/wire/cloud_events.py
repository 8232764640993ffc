"""CloudEvents' headers for events: Kafka binding, binary mode, the value as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from sayiir_es.wire.binary import read_int, read_long, read_string
from sayiir_es.wire.events import KIND_HEADER
from sayiir_es.wire.schema import EVENT_NAMESPACE, HEAD_BYTES

AVRO = b"application/avro"


def cloud_event_headers(
    value: bytes, headers: tuple[tuple[str, bytes], ...], *, source: bytes
) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that CloudEvents adds to those of an encoded event.

    `ce_id` is INSTANCE/SEQUENCE/CLAIM. It has the claim because a displaced owner may
    write the same sequence again: a consumer that drops ids which it has seen must not
    drop the valid event. An event without a sequence is named by its cause, a claim by
    its owner and time.
    """
    claim, place = read_long(value, HEAD_BYTES)
    instance_id, place = read_string(value, place)
    _, place = read_int(value, place)
    sequence, place = read_long(value, place)
    at, place = read_long(value, place)
    cause, place = read_string(value, place)
    if sequence:
        name = f"{instance_id}/{sequence}"
    elif cause:
        name = cause
    else:
        owner, _ = read_string(value, place)  # only a claim has no cause
        name = f"{owner}/{at}"
    subject = (("ce_subject", instance_id.encode()),) if instance_id else ()
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{name}/{claim}".encode()),
        ("ce_source", source),
        ("ce_type", _type_of(headers)),
        ("ce_time", _time(at)),
        *subject,
        ("content-type", AVRO),
    )


def _type_of(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    kind = dict(headers)[KIND_HEADER]
    return b"%s.%s" % (EVENT_NAMESPACE.encode(), kind)


@lru_cache(maxsize=16)
def _time(at_ms: int) -> bytes:
    """Return epoch milliseconds in RFC 3339; cached: neighbouring events share it."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    text = moment.isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").encode()

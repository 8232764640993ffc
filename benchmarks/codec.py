"""Microseconds to encode and decode one event, beside the general Avro codec.

Run `python benchmarks/codec.py`. Each figure is the best of several rounds: what the
code costs where nothing else runs.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import io
import json
import sys
import timeit
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

import fastavro

from sayiir_es.core.model.events import (
    DeadlineSet,
    Event,
    PositionUpdated,
    TaskCompleted,
    WorkflowStarted,
)
from sayiir_es.wire.events import (
    COMMON_FIELDS,
    decode_event,
    encode_event,
    event_headers,
    read_headers,
)
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.schema import EVENT_NAMESPACE, schema_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.events import Body

CALLS = 20_000
ROUNDS = 7
AT = 1_753_000_000_123

BODIES: tuple[Body, ...] = (
    WorkflowStarted(
        command_id="3@41",
        workflow="orders",
        definition_hash="ab" * 32,
        graph_digest="cd" * 32,
        input=b'{"amount":5}',
        conflict_policy="fail",
        attributes={},
    ),
    PositionUpdated(path="charge", attempt=1, input="start"),
    DeadlineSet(path="charge", attempt=1, deadline_at=AT + 2_000, timeout_ms=2_000),
    TaskCompleted(
        path="charge", attempt=1, output=b'{"amount":5}', loop="none", worker="w1"
    ),
)


def microseconds(call: Callable[[], object]) -> float:
    """The best round's time for one call."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def general_codec(event: Event) -> tuple[float, float]:
    """What `fastavro` takes for the same record, from a dict and to a dict."""
    file = schema_directory() / f"{EVENT_NAMESPACE}.{event.kind}.avsc"
    text = file.read_text(encoding="utf-8")
    plain = text.replace('"logicalType": "timestamp-millis"', '"stripped": true')
    schema = fastavro.parse_schema(json.loads(plain))
    values = {name: getattr(event, name) for name in COMMON_FIELDS}
    values |= {f.name: getattr(event.body, f.name) for f in fields(event.body)}

    def write() -> bytes:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, schema, values)
        return stream.getvalue()

    data = write()
    return microseconds(write), microseconds(
        lambda: fastavro.schemaless_reader(io.BytesIO(data), schema, None)
    )


def lines() -> list[str]:
    """The table."""
    table = [f"{'µs':24}{'encode':>8}{'decode':>8}{'fastavro':>18}"]
    for body in BODIES:
        event = Event(
            claim=1_001,
            instance_id="order-77",
            run=1,
            sequence=5,
            at=AT,
            cause="outcome:charge#1",
            body=body,
        )
        data = encode_event(event)
        encode = microseconds(partial(encode_event, event))
        decode = microseconds(partial(decode_event, data))
        encode_us, decode_us = general_codec(event)
        table.append(
            f"{event.kind:24}{encode:8.2f}{decode:8.2f}{encode_us:9.2f}{decode_us:9.2f}"
        )
    headers = event_headers("TaskCompleted", 1_001)
    encode = microseconds(lambda: event_headers("TaskCompleted", 1_001))
    decode = microseconds(lambda: read_headers(headers))
    table.append(f"{'headers':24}{encode:8.2f}{decode:8.2f}")
    value = {"amount": 5, "to": "ana"}
    payload = encode_payload(value)
    encode = microseconds(lambda: encode_payload(value))
    decode = microseconds(lambda: decode_payload(payload))
    table.append(f"{'payload':24}{encode:8.2f}{decode:8.2f}")
    return table


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

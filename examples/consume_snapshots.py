"""Keep a table of an app's instances with confluent-kafka and fastavro alone.

    python -m examples.consume_snapshots localhost:9092 sayiir

It prints each instance with its workflow and status, from the topic `APP.snapshots`,
which workers write with SAYIIR_SNAPSHOTS_TOPIC=true. It folds no events. It needs
`pip install confluent-kafka fastavro` and the folder `schemas/`.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from examples.consume_confluent import (
    HEAD_BYTES,
    LIMIT_S,
    SCHEMAS,
    open_consumer,
    until_end,
)


def load_decoders() -> dict[bytes, Any]:
    """Return the schemas of snapshots, by the first bytes of their records."""
    schemas: dict[bytes, Any] = {}
    for file in SCHEMAS.rglob("io.sayiir.snapshot.v1.*.avsc"):  # frozen ones too
        schema = json.loads(file.read_text(encoding="utf-8"))
        crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        schemas[b"\xc3\x01" + bytes.fromhex(crc)] = parse_schema(schema)
    return schemas


def table(bootstrap: str, topic: str) -> dict[str, dict[str, Any]]:
    """Return the latest snapshot of every instance, as of now."""
    consumer, decoders = open_consumer(bootstrap), load_decoders()
    rows: dict[str, dict[str, Any]] = {}
    try:
        count = len(consumer.list_topics(topic, LIMIT_S).topics[topic].partitions)
        places = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(count)]
        for record in until_end(consumer, places):
            value = record.value() or b""
            schema = decoders[value[:HEAD_BYTES]]
            row: Any = schemaless_reader(io.BytesIO(value[HEAD_BYTES:]), schema, None)
            latest = rows.get(row["instance_id"])
            if latest is None or row["sequence"] > latest["sequence"]:
                rows[row["instance_id"]] = row
    finally:
        consumer.close()
    return rows


def main(bootstrap: str, app: str) -> None:
    """Print the table."""
    for instance_id, row in sorted(table(bootstrap, f"{app}.snapshots").items()):
        sys.stdout.write(f"{instance_id}\t{row['workflow']}\t{row['status']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

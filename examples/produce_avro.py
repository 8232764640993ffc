"""Start one workflow for each record of any topic, once: commands in Avro.

    python -m examples.produce_avro localhost:9092 shop webshop.orders

It reads `webshop.orders` to its end and starts `orders` for each record, whose value is
the input: JSON, unchanged. It may be run again, or killed and run again: each start is
named by the place of its record, and an owner accepts a name once. It needs
`pip install confluent-kafka fastavro` and the folder `schemas/`.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from examples.consume_confluent import LIMIT_S, SCHEMAS, open_consumer, until_end
from examples.produce_confluent import open_producer


class Encoder:
    """Encodes one command in Avro's single-object encoding."""

    def __init__(self, command: str) -> None:
        file = SCHEMAS / f"io.sayiir.command.v1.{command}.avsc"
        schema = json.loads(file.read_text(encoding="utf-8"))
        crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
        self._head = b"\xc3\x01" + bytes.fromhex(crc)
        self._schema = parse_schema(schema)

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Return the bytes of a record; fields that are left out get defaults."""
        body = io.BytesIO()
        schemaless_writer(body, self._schema, fields)
        return self._head + body.getvalue()


def start_of(record: Message) -> dict[str, Any]:
    """Return the command for a record, with an id that no other record has."""
    place = f"{record.topic()}-{record.partition()}-{record.offset()}"
    return {
        "instance_id": place,
        "workflow": "orders",
        "input": record.value(),
        # An instance of this id was started for this record: nothing is left to do.
        "conflict_policy": "use_existing",
        "attributes": {"source": record.topic()},
    }


def main(bootstrap: str, app: str, source: str) -> None:
    """Start a workflow for each record of `source`."""
    encoder, consumer = Encoder("StartWorkflow"), open_consumer(bootstrap)
    producer = open_producer(bootstrap)
    try:
        count = len(consumer.list_topics(source, LIMIT_S).topics[source].partitions)
        places = [TopicPartition(source, p, OFFSET_BEGINNING) for p in range(count)]
        for record in until_end(consumer, places):
            start = start_of(record)
            producer.produce(
                f"{app}.commands",
                key=start["instance_id"],
                value=encoder.encode(start),
            )
            producer.poll(0)
            sys.stdout.write(f"{start['instance_id']}\n")
        if producer.flush(LIMIT_S):
            raise TimeoutError(f"expected all commands to land within {LIMIT_S} s")
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Decoders of what Kafka and a schema registry send: fetches, members, frames."""

from __future__ import annotations

import asyncio
from contextlib import closing
from importlib import import_module

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from sayiir_es.core.model.errors import (
    LogUnavailableError,
    OffsetGoneError,
    UnsafeLogError,
)
from sayiir_es.log.kafka.assignor import StickyAssignor
from sayiir_es.log.kafka.completed_fetch import CompletedFetch
from sayiir_es.log.kafka.topic_rules import check_identity
from sayiir_es.log.port import LogIdentity
from sayiir_es.wire.confluent_frames import (
    FRAME_BYTES,
    ConfluentFrames,
    published_schemas,
)
from sayiir_es.wire.events import encode_event
from sayiir_es.wire.schema import HEAD_BYTES
from sayiir_es.wire.schema_registry import SchemaRegistry
from tests.fuzz.decoders import Decoder
from tests.wire.examples import EVENTS

# By name: they have no type hints.
_batches = import_module("aiokafka.record.default_records")
_checksums = import_module("aiokafka.record.util")

_HEAD_BYTES = 61
_CHECKSUM_FROM = 21


def _batch(compression: int, *values: bytes) -> bytes:
    builder = _batches.DefaultRecordBatchBuilder(2, compression, 0, 5, 0, 0, 1 << 20)
    for at, value in enumerate(values):
        builder.append(at, 1_000 + at, b"order-7", value, [("näme", b"h"), ("e", None)])
    return bytes(builder.build())


def _fetches() -> tuple[bytes, ...]:
    events = [encode_event(event) for event in EVENTS[:3]]
    plain, zipped = _batch(0, *events), _batch(1, *events * 20)
    odd = with_checksums(plain.replace("näme".encode(), b"n\xffme\xfe", 1))
    next_batch = len(events).to_bytes(8, "big") + zipped[8:]
    return plain, zipped, odd, odd + next_batch, _batch(0, b"")


def with_checksums(data: bytes) -> bytes:
    """Return the same batches with the right length and checksum in each head."""
    out, at = bytearray(data), 0
    while at + _HEAD_BYTES <= len(out):
        length = int.from_bytes(out[at + 8 : at + 12], "big")
        if not 49 <= length <= len(out) - at - 12:
            length = len(out) - at - 12
            out[at + 8 : at + 12] = length.to_bytes(4, "big")
        end = at + 12 + length
        out[at + 22] &= 0xF9  # plain or gzip: the decoders of others abort the process
        checksum = int(_checksums.calc_crc32c(bytes(out[at + _CHECKSUM_FROM : end])))
        out[at + 17 : at + 21] = checksum.to_bytes(4, "big")
        at = end
    return bytes(out)


def _fetch(data: bytes) -> None:
    fetch = CompletedFetch(0, data, None, compacted=False)
    end = 0
    while not fetch.empty:
        chunk = fetch.take()
        assert chunk.start == end
        assert chunk.end >= end
        end = chunk.end


def _fetch_with_checksums(data: bytes) -> None:
    _fetch(with_checksums(data))


def _user_data(data: bytes) -> None:
    """The bytes are the user data of another member of the group."""
    assignor = StickyAssignor("t", 4)
    members = {
        "other": ConsumerProtocolMemberMetadata(0, ["t"], data),
        "we": assignor.metadata(["t"]),
    }
    assignment = assignor.assign(None, members)
    assert sum(len(one.assignment[0][1]) for one in assignment.values()) == 4


_LOG = LogIdentity(cluster_id="c", partitions=4, topics={"events": "e"})


def _app_record(data: bytes) -> None:
    check_identity(data, _LOG)


# --- Confluent's frame ----------------------------------------------------------------


class OneSchemaRegistry(SchemaRegistry):
    """A registry that returns one text, the fuzzer's, for every id."""

    def __init__(self) -> None:
        super().__init__("http://registry")
        self.text: str | None = None
        self._ids: dict[str, int] = {}

    def register(self, subject: str, schema: str) -> int:
        """Return a new id for each schema."""
        del subject
        return self._ids.setdefault(schema, len(self._ids) + 1)

    def schema(self, schema_id: int) -> str | None:
        """Return the fuzzer's text."""
        del schema_id
        return self.text


def _framed(data: bytes) -> None:
    """The bytes are a framed record, and also the schema of its id."""
    registry = OneSchemaRegistry()
    frames = ConfluentFrames(registry)
    registry.text = data.decode("utf-8", "replace")
    with closing(asyncio.new_event_loop()) as loop:
        framed = b"\x00" + data[: FRAME_BYTES - 1] + data
        value = loop.run_until_complete(frames.unframe(framed))
        assert value.endswith(framed[FRAME_BYTES:])
        assert loop.run_until_complete(frames.unframe(data[1:])) is not None
        loop.run_until_complete(loop.shutdown_default_executor())
    assert len(value) in {len(framed), len(framed) - FRAME_BYTES + HEAD_BYTES}


KAFKA_DECODERS: tuple[Decoder, ...] = (
    Decoder(
        name="kafka-fetch",
        samples=_fetches(),
        read=_fetch,
        refusals=(LogUnavailableError, OffsetGoneError),
    ),
    Decoder(
        name="kafka-fetch-with-sums",
        samples=_fetches(),
        read=_fetch_with_checksums,
        refusals=(LogUnavailableError, OffsetGoneError),
    ),
    Decoder(
        name="kafka-member",
        samples=(
            b'{"generation": 7, "partitions": [0, 1, 2]}',
            b'{"generation": -1, "partitions": []}',
        ),
        read=_user_data,
        refusals=(),
        share=5,
    ),
    Decoder(
        name="kafka-app-record",
        samples=(b'{"cluster_id": "c", "partitions": 4, "topics": {"events": "e"}}',),
        read=_app_record,
        refusals=(UnsafeLogError,),
        share=5,
    ),
    Decoder(
        name="confluent-frame",
        samples=tuple(text.encode() for _, text in published_schemas()),
        read=_framed,
        refusals=(),
        share=2,
    ),
)

"""A log that frames its records: what it stores, and what it returns."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.commands import CancelWorkflow
from sayiir_es.core.model.errors import LogUnavailableError, SettingsError
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.framing import FRAME_HEADER, FramedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.cloud_events import cloud_event_headers
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.confluent_frames import ConfluentFrames, published_schemas
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.schema import SNAPSHOT_NAMESPACE, load_schemas, parse_record
from sayiir_es.wire.schema_registry import SchemaRegistry
from tests.projection.history import claim, run_of
from tests.streams.small_registry import serve_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sayiir_es.log.port import Log, Record
    from tests.streams.small_registry import SmallRegistry

CANCEL = CancelWorkflow(instance_id="i-1", command_id="c-1")
ADDED_BYTES = 350  # what `log.framing` expects for ids of a usual length
EVENTS = [*claim(), *run_of("i-1", 0)]


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    """A registry of this test alone."""
    with serve_registry() as one:
        yield one


async def open_framed_log(inner: MemoryLog, registry: SmallRegistry) -> FramedLog:
    """Open a log that frames the records that it writes to `inner`."""
    log = FramedLog(inner, ConfluentFrames(SchemaRegistry(registry.url)), None)
    await log.open(create=True)
    return log


async def read_records(log: Log, topic: Topic) -> Sequence[Record]:
    """Read the records of partition 0 of a topic."""
    reader = await log.reader(topic, 0, 0)
    chunk = await reader.read(max_wait_s=1)
    assert chunk is not None
    return chunk.records


async def append(log: Log) -> None:
    """Append the events to partition 0."""
    appender = await log.appender(0)
    assert await appender.append([to_record(event) for event in EVENTS]) == 0
    await appender.close()


async def test_events_are_stored_framed_and_read_as_they_were(
    registry: SmallRegistry,
) -> None:
    inner = MemoryLog()
    log = await open_framed_log(inner, registry)
    await append(log)
    for record in await read_records(inner, Topic.EVENTS):
        assert record.value is not None
        assert record.value[0] == 0
        assert int.from_bytes(record.value[1:5], "big") in registry.schemas
    records = await read_records(log, Topic.EVENTS)
    assert [decode_event(record.value or b"") for record in records] == EVENTS


async def test_snapshots_are_stored_framed_and_read_as_they_were(
    registry: SmallRegistry,
) -> None:
    inner = MemoryLog()
    log = await open_framed_log(inner, registry)
    await log.open_snapshots()
    schema = load_schemas(SNAPSHOT_NAMESPACE)["InstanceSnapshot"]
    record = NewRecord(key=b"i-1", value=schema.head + b"body")
    await log.produce(Topic.SNAPSHOTS, 0, record)
    (stored,) = await read_records(inner, Topic.SNAPSHOTS)
    assert stored.value is not None
    assert registry.schemas[int.from_bytes(stored.value[1:5], "big")]
    assert (stored.value[0], stored.value[5:]) == (0, b"body")
    (unframed,) = await read_records(log, Topic.SNAPSHOTS)
    assert unframed.value == record.value


async def test_an_outage_while_an_id_is_asked_for_leaves_no_hole(
    registry: SmallRegistry,
) -> None:
    inner = MemoryLog()
    await append(await open_framed_log(inner, registry))
    # The same schemas under ids that a reader has not read at its start.
    for number, schema in list(registry.schemas.items()):
        registry.schemas[number + 900] = schema
    renumbered_log = MemoryLog()
    log = await open_framed_log(renumbered_log, registry)
    appender = await renumbered_log.appender(0)
    await appender.append(
        [
            renumbered(record, by=900)
            for record in await read_records(inner, Topic.EVENTS)
        ]
    )
    reader = await log.reader(Topic.EVENTS, 0, 0)
    registry.outages = 2
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="503"):
            await reader.read(max_wait_s=1)
    chunk = await reader.read(max_wait_s=1)
    assert chunk is not None
    assert [decode_event(one.value or b"") for one in chunk.records] == EVENTS


def renumbered(record: Record, *, by: int) -> NewRecord:
    """Return a framed record with another schema id."""
    value = record.value or b""
    number = int.from_bytes(value[1:5], "big") + by
    framed = b"\0" + number.to_bytes(4, "big") + value[5:]
    return NewRecord(key=record.key, value=framed, headers=record.headers)


async def test_a_framed_command_is_read_and_its_id_kept_for_the_dead_letters(
    registry: SmallRegistry,
) -> None:
    inner = MemoryLog()
    log = await open_framed_log(inner, registry)
    value = encode_command_avro(CANCEL)
    plain = NewRecord(key=b"i-1", value=value)
    await inner.produce(Topic.COMMANDS, 0, plain)
    await log.produce(Topic.COMMANDS, 0, plain)
    await inner.produce(
        Topic.COMMANDS, 0, NewRecord(key=b"i-1", value=b"\0\0\0\0\7not ours")
    )
    (bare, _), (unframed, headers), (unknown, _) = [
        (one.value, dict(one.headers))
        for one in await read_records(log, Topic.COMMANDS)
    ]
    assert bare == unframed == value
    assert int(headers[FRAME_HEADER]) in registry.schemas
    assert unknown == b"\0\0\0\0\7not ours"
    # A forward of such a command is framed again, without the header.
    again = NewRecord(key=b"i-1", value=unframed, headers=tuple(headers.items()))
    await log.produce(Topic.COMMANDS, 0, again)
    assert (await read_records(inner, Topic.COMMANDS))[-1].headers == ()


async def test_a_registry_that_refuses_or_is_silent_is_an_error_at_the_start(
    registry: SmallRegistry,
) -> None:
    registry.outages = 1
    with pytest.raises(LogUnavailableError, match="503"):
        await open_framed_log(MemoryLog(), registry)
    for url in ("ftp://host", "http://", "registry:8081"):
        with pytest.raises(SettingsError, match="schema registry"):
            SchemaRegistry(url)
    secret = SchemaRegistry("http://ana:word@host:8081/base/")
    assert secret.url == "http://host:8081/base"


async def test_each_published_schema_is_registered_once(
    registry: SmallRegistry,
) -> None:
    await open_framed_log(MemoryLog(), registry)
    versions = {
        (subject, parse_record(text).head) for subject, text in published_schemas()
    }
    requests = Counter(path.split("/")[2] for path in registry.requests)
    assert requests == Counter(subject for subject, _ in versions)


def test_headers_are_what_the_cloudevents_library_reads() -> None:
    kafka: Any = import_module("cloudevents.core.bindings.kafka")
    for event in EVENTS:
        record = to_record(event)
        value = record.value or b""
        added = cloud_event_headers(value, record.headers, source=b"/x.events/0")
        assert sum(len(name) + len(text) for name, text in added) < ADDED_BYTES
        message = kafka.KafkaMessage(
            headers=dict(added), key=record.key, value=record.value
        )
        cloud_event = kafka.from_binary_event(message)
        assert cloud_event.get_data() == value
        assert cloud_event.get_type() == f"io.sayiir.event.v1.{event.kind}"
        assert cloud_event.get_source() == "/x.events/0"
        assert (cloud_event.get_subject() or "") == event.instance_id
        assert cloud_event.get_time().timestamp() * 1000 == event.at
        assert cloud_event.get_id() == (
            f"i-1/{event.sequence}/0" if event.sequence else f"w/1/{event.at}/-1"
        )

"""Records of other programs: garbage among commands, and events of unknown kinds."""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.kafka.expansion import EXPANDED_BYTES_MAX
from sayiir_es.wire.commands import encode_command_avro
from tests import kafka_app
from tests.kafka.live_app import PARTITIONS
from tests.kafka.load_run import LIMIT_S
from tests.kafka.reader import records
from tests.kafka.verdict import violations

if TYPE_CHECKING:
    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

_kafka = import_module("confluent_kafka")  # by name: its type hints are partial

PARTITION = 3
LARGEST = 1_048_588 - 61 - 24
"""The largest value that fits Kafka's default `max.message.bytes` with its frame."""
MEMORY_MB = 300.0

_START = encode_command_avro(
    StartWorkflow(
        instance_id="x",
        command_id="y",
        workflow="greeting",
        input=b"1",
        conflict_policy="fail",
        attributes={},
    )
)
_GIB = b"\x80\x80\x80\x80\x08"  # Avro's variable-length form of the length 2³⁰

GARBAGE: dict[str, bytes | None] = {
    "empty": b"",
    "null": None,
    "one byte": b"\xc3",
    "bad magic": b"\xc3\x02" + _START[2:],
    "unknown fingerprint": b"\xc3\x01" + b"\x5a" * 8 + _START[10:],
    "truncated": _START[:-3],
    "no object": b"[1, 2]",
    "unknown command": b'{"command": "Frobnicate", "instance_id": "x"}',
    "a length of 1 GiB": _START[:10] + _GIB + b"x",
    "a wrong type": b'{"command": "StartWorkflow", "workflow": 7}',
}


def ids_at(partition: int) -> str:
    """An instance id that belongs to a partition."""
    names = (f"good-{n}" for n in range(1_000))
    return next(n for n in names if partition_of(n.encode(), PARTITIONS) == partition)


def start(instance_id: str) -> bytes:
    """A start record as any client writes it."""
    fields = {"command": "StartWorkflow", "workflow": "greeting", "input": "you"}
    return json.dumps({**fields, "instance_id": instance_id}).encode()


def test_garbage_between_two_good_starts_is_put_aside_and_named(
    live_app: LiveApp,
) -> None:
    worker = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    before, after = ids_at(PARTITION), f"{ids_at(PARTITION)}-again"
    idle_mb = worker.peak_memory_mb()
    producer.send(None, start(before), PARTITION)
    for value in GARBAGE.values():
        producer.send(b"k", value, PARTITION)
    producer.send(None, start(after), PARTITION)
    offsets = [offset for _, offset in producer.flush()]
    reader.until(lambda: reader.ended.keys() >= {before, after}, LIMIT_S)
    assert violations(reader) == []

    letters = records(live_app.bootstrap, f"{live_app.app}.dead-letters", PARTITIONS)
    events_by_cause = {
        event.cause: event
        for event in reader.valid()
        if event.kind == "CommandDeadLettered"
    }
    assert len(events_by_cause) == sum(map(len, letters.values())) == len(GARBAGE)
    for (name, value), offset in zip(GARBAGE.items(), offsets[1:-1], strict=True):
        event = events_by_cause[f"command:{PARTITION}@{offset}"]
        partition, _, at = event.text("dead_letter").partition("@")
        letter = letters[int(partition)][int(at)]
        assert letter.value() == value, name
        assert letter.key() == f"{PARTITION}@{offset}".encode()
        assert event.text("reason"), name
    peak_mb = worker.peak_memory_mb()
    print(f"\npeak {peak_mb:.0f} MB, {idle_mb:.0f} before")  # noqa: T201 - asked for
    assert peak_mb < MEMORY_MB


def test_a_command_on_a_wrong_partition_is_forwarded_once(live_app: LiveApp) -> None:
    live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    home = partition_of(b"stray", PARTITIONS)
    wrong = (home + 1) % PARTITIONS
    producer.send(b"stray", start("stray"), wrong)
    ((_, offset),) = producer.flush()
    reader.until(lambda: "stray" in reader.ended, LIMIT_S)
    forwards = [e for e in reader.valid() if e.kind == "CommandForwarded"]
    assert [(e.partition, e.cause) for e in forwards] == [
        (wrong, f"command:{wrong}@{offset}")
    ]
    assert forwards[0].body["to_partition"] == home
    commands = records(live_app.bootstrap, f"{live_app.app}.commands", PARTITIONS)
    assert {p: len(messages) for p, messages in commands.items() if messages} == {
        wrong: 1,
        home: 1,
    }
    started = reader.of("stray")[0]
    assert started.cause == f"command:{home}@0<{wrong}@{offset}"
    assert violations(reader) == []


def test_records_as_large_as_the_topic_takes_are_answered_too(
    live_app: LiveApp,
) -> None:
    """Dead letters are larger than the original records, forwards may be smaller."""
    worker = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    after, home = ids_at(PARTITION), partition_of(b"vast", PARTITIONS)
    wrong = (home + 1) % PARTITIONS
    noise = secrets.token_bytes(LARGEST)
    vast = b'{"command":"StartWorkflow","instance_id":"vast","workflow":"greeting",'
    vast += b'"input":"%s"}' % (b"x" * (LARGEST - len(vast) - 20))
    producer.send(b"k", noise, PARTITION)
    producer.send(None, start(after), PARTITION)
    producer.send(None, vast, wrong)
    producer.send(None, start(ids_at(wrong)), wrong)
    producer.flush()
    reader.until(lambda: reader.ended.keys() >= {after, ids_at(wrong)}, LIMIT_S)
    letters = records(live_app.bootstrap, f"{live_app.app}.dead-letters", PARTITIONS)
    values_by_key = {
        letter.key(): letter.value()
        for partition_letters in letters.values()
        for letter in partition_letters
    }
    assert values_by_key == {b"%d@0" % PARTITION: noise}
    (forwarded,) = [e for e in reader.valid() if e.kind == "CommandForwarded"]
    assert forwarded.partition == wrong
    reader.until(lambda: any(e.kind == "CommandRejected" for e in reader.valid()), 20)
    (rejected,) = [e for e in reader.valid() if e.kind == "CommandRejected"]
    assert (rejected.partition, rejected.body["code"]) == (home, "too_large")
    assert worker.logged("partition.tenure_ended") == []
    assert violations(reader) == []


async def keep_as_packed(bootstrap: str, topic: str) -> None:
    """Let the broker keep batches as their producers packed them."""
    async with kafka_app.admin(bootstrap) as client:
        await kafka_app.set_topic(client, topic, {"compression.type": "producer"})


def send_packed(live_app: LiveApp, value: bytes, codec: str) -> int:
    """Send a value that is small when it is packed; returns its offset.

    Until the topic's new setting is in force the broker unpacks and refuses it.
    """
    producer = _kafka.Producer(
        {
            "bootstrap.servers": live_app.bootstrap,
            "log_level": 0,
            "compression.type": codec,
            "message.max.bytes": 4 * len(value),
        }
    )
    landed: list[int] = []

    def note(error: Any, message: Any) -> None:
        if error is None:
            landed.append(message.offset())

    end_s = time.monotonic() + LIMIT_S
    while not landed:
        assert time.monotonic() < end_s, "the broker refuses it"
        producer.produce(
            f"{live_app.app}.commands", value, b"k", PARTITION, on_delivery=note
        )
        assert producer.flush(LIMIT_S) == 0
    return landed[0]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_batch_that_expands_too_far_is_put_aside_and_its_partition_goes_on(
    live_app: LiveApp, codec: str
) -> None:
    worker = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    idle_mb, after = worker.peak_memory_mb(), ids_at(PARTITION)
    asyncio.run(keep_as_packed(live_app.bootstrap, f"{live_app.app}.commands"))
    offset = send_packed(live_app, bytes(EXPANDED_BYTES_MAX + 1), codec)
    producer.send(None, start(after), PARTITION)
    producer.flush()
    reader.until(lambda: after in reader.ended, LIMIT_S)
    (event,) = (e for e in reader.valid() if e.kind == "CommandDeadLettered")
    assert event.cause == f"command:{PARTITION}@{offset}"
    assert "expands" in event.text("reason")
    assert worker.logged("partition.tenure_ended") == []
    assert worker.peak_memory_mb() < idle_mb + MEMORY_MB / 3
    assert violations(reader) == []


def forge(live_app: LiveApp, partition: int, claim: int) -> int:
    """Append an event of an unknown kind under a claim; returns its offset."""
    body = struct.pack("<2s8s", b"\xc3\x01", b"\x5a" * 8) + b"\x00" * 8
    landed: list[int] = []

    def note(error: Any, message: Any) -> None:
        assert error is None, error
        landed.append(message.offset())

    producer = _kafka.Producer(
        {"bootstrap.servers": live_app.bootstrap, "log_level": 0}
    )
    producer.produce(
        f"{live_app.app}.events",
        body,
        b"someone",
        partition=partition,
        headers=[("kind", b"Unheard"), ("claim", str(claim).encode())],
        on_delivery=note,
    )
    assert producer.flush(LIMIT_S) == 0
    return landed[0]


def test_an_event_of_an_unknown_kind_stops_its_partition_and_no_other(
    live_app: LiveApp,
) -> None:
    worker = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    reader.read_to_end()
    offset = forge(live_app, PARTITION, reader.partitions[PARTITION].claim)
    for partition in range(PARTITIONS):
        producer.send(None, start(ids_at(partition)), partition)
    producer.flush()
    (line,) = worker.until_logged("partition.stopped")
    assert line["partition"] == PARTITION
    assert "'Unheard'" in str(line["reason"])
    assert f"{PARTITION}@{offset}" in str(line["reason"])
    others = {ids_at(p) for p in range(PARTITIONS) if p != PARTITION}
    reader.until(lambda: reader.ended.keys() >= others, LIMIT_S)

    worker.terminate()
    worker.start()
    (line,) = worker.until_logged("partition.stopped")
    assert line["partition"] == PARTITION
    assert "'Unheard'" in str(line["reason"])
    assert f"{PARTITION}@{offset}" in str(line["reason"])
    producer.send(None, start(f"{ids_at(0)}-again"), 0)
    reader.until(lambda: f"{ids_at(0)}-again" in reader.ended, LIMIT_S)
    assert ids_at(PARTITION) not in reader.ended

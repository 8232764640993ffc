"""Appending, producing and reading on a healthy Kafka."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace

import pytest

from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    LogUnavailableError,
    OffsetGoneError,
    UncertainAppendError,
)
from sayiir_es.log.batch_size import bytes_in_batch
from sayiir_es.log.kafka.completed_fetch import CHUNK_RECORDS_MAX
from sayiir_es.log.port import NewRecord, Topic
from tests import kafka_app
from tests.kafka_app import record, take

pytestmark = pytest.mark.kafka


async def test_a_batch_is_read_back_as_it_was_appended(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(1)
        headers = (("claim", b"\x07"), ("claim", b""), ("é", b"2"))
        batch = [
            NewRecord(key=b"k", value=b"v", headers=headers),
            NewRecord(key=None, value=b"", headers=()),
            NewRecord(key=b"", value=None),
        ]
        assert await appender.append([record(b"first")]) == 0
        assert await appender.append(batch) == 1
        reader = await log.reader(Topic.EVENTS, 1, 1)
        records = await take(reader, 3)
        assert [
            NewRecord(key=r.key, value=r.value, headers=r.headers) for r in records
        ] == batch
        assert [r.offset for r in records] == [1, 2, 3]
        assert abs(records[0].timestamp_ms / 1000 - time.time()) < 60  # noqa: TID251 - the log's own clock
        await reader.close()
        await appender.close()


async def test_chunks_follow_one_another_without_a_hole(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        for size in (CHUNK_RECORDS_MAX + 500, 1, 1_999, 700):
            await appender.append([record(b"%d" % i) for i in range(size)])
        reader = await log.reader(Topic.EVENTS, 0, 3)
        end, at = await log.end_offset(Topic.EVENTS, 0), 3
        while at < end:
            chunk = await reader.read(max_wait_s=5)
            assert chunk is not None
            assert chunk.start == at
            assert len(chunk.records) <= CHUNK_RECORDS_MAX
            assert [r.offset for r in chunk.records] == list(range(at, chunk.end))
            at = chunk.end
        assert at == end == CHUNK_RECORDS_MAX + 500 + 1 + 1_999 + 700
        await reader.close()
        await appender.close()


async def test_transactions_of_other_producers_leave_gaps_that_are_named(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        name = log.name(Topic.COMMANDS)
        async with kafka_app.producer(
            kafka_bootstrap, transactional_id=name
        ) as other_producer:
            async with other_producer.transaction():
                await other_producer.send_and_wait(name, b"kept", partition=0)
            await other_producer.begin_transaction()
            await other_producer.send_and_wait(name, b"dropped", partition=0)
            await other_producer.abort_transaction()
        await log.produce(Topic.COMMANDS, 0, record(b"last"))
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        records = await take(reader, 2)
        assert [(r.offset, r.value) for r in records] == [(0, b"kept"), (4, b"last")]
        await reader.close()
        # 1 ends the first transaction, 2 was aborted, 3 is the abort marker.
        reader = await log.reader(Topic.COMMANDS, 0, 1)
        chunk = await reader.read(max_wait_s=5)
        assert chunk is not None
        assert (chunk.start, chunk.end, chunk.gaps) == (1, 5, ((1, 4),))
        await reader.close()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_commands_of_another_client_are_read_with_every_compression(
    kafka_bootstrap: str, codec: str
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        kafka_app.produce_by_librdkafka(
            kafka_bootstrap, log.name(Topic.COMMANDS), b"v" * 1_000, codec
        )
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        (record,) = await take(reader, 1)
        assert (record.key, record.value) == (b"k", b"v" * 1_000)
        assert record.headers == (("empty", b""),)
        await reader.close()


async def test_a_reader_at_the_end_gets_a_new_record_at_once(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert await reader.read(max_wait_s=0) is None
        assert await reader.read(max_wait_s=0.05) is None
        appender = await log.appender(0)
        took_s: list[float] = []
        for i in range(40):
            begin_s = time.perf_counter()
            await appender.append([record(b"%d" % i)])
            assert [r.value for r in await take(reader, 1)] == [b"%d" % i]
            took_s.append(time.perf_counter() - begin_s)
        assert statistics.median(took_s) < 0.05  # some 1 ms on an idle machine
        await reader.close()
        await appender.close()


@pytest.mark.parametrize("offset", [0, 4])
async def test_an_offset_outside_of_the_log_is_gone(
    kafka_bootstrap: str, offset: int
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        await appender.append([record(b"x")] * 3)
        async with kafka_app.admin(kafka_bootstrap) as admin:
            await kafka_app.drop_records(admin, log.name(Topic.EVENTS), 0, 2)
        assert await log.start_offset(Topic.EVENTS, 0) == 2
        reader = await log.reader(Topic.EVENTS, 0, offset)
        with pytest.raises(OffsetGoneError, match=f"expected offset {offset} "):
            await reader.read(max_wait_s=5)
        await reader.close()
        await appender.close()


async def test_a_batch_that_is_too_large_is_refused_and_the_appender_goes_on(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        name = "n"
        fits = NewRecord(
            key=b"k",
            value=b"",
            headers=((name, bytes(8)),),
        )
        lengths = 4  # those of the value and of the record are longer then
        room = log.max_batch_bytes - bytes_in_batch(fits) - lengths
        fits = replace(fits, value=bytes(room))
        assert bytes_in_batch(fits) == log.max_batch_bytes
        assert await appender.append([fits]) == 0
        with pytest.raises(BatchTooLargeError, match="expected at most"):
            await appender.append([fits, record(b"")])
        with pytest.raises(BatchTooLargeError):
            await appender.append([NewRecord(key=b"", value=b"x")] * 200_000)
        assert await appender.append([record(b"next")]) == 1
        await appender.close()


async def test_a_topic_that_was_made_narrower_refuses_and_the_appender_goes_on(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        async with kafka_app.admin(kafka_bootstrap) as admin:
            narrow = {"retention.ms": "-1", "max.message.bytes": "2000"}
            await kafka_app.set_topic(admin, log.name(Topic.EVENTS), narrow)
        appended = 0

        async def append_until_the_broker_has_heard() -> None:
            nonlocal appended
            while True:
                await appender.append([record(bytes(5000))])
                appended += 1

        with pytest.raises(BatchTooLargeError, match=r"raise max\.message\.bytes"):
            await asyncio.wait_for(append_until_the_broker_has_heard(), 30)
        assert await appender.append([record(b"next")]) == appended
        await appender.close()


async def test_a_fresh_producer_id_follows_the_last_sequence_number(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sayiir_es.log.kafka.appender.LAST_SEQUENCE", 8)
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        assert await appender.append([record(b"a")] * 5) == 0
        before = appender.producer_id
        assert await appender.append([record(b"b")] * 5) == 5
        assert await appender.append([record(b"c")]) == 10
        assert appender.producer_id != before
        await appender.close()


async def test_a_closed_appender_appends_nothing(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        await appender.close()
        with pytest.raises(UncertainAppendError, match="usable appender"):
            await appender.append([record(b"x")])
        assert await log.end_offset(Topic.EVENTS, 0) == 0


async def test_a_cancelled_append_ends_the_appender(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        task = asyncio.ensure_future(appender.append([record(b"x")]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        with pytest.raises(UncertainAppendError):
            await appender.append([record(b"y")])
        await appender.close()


async def test_thousands_of_records_produced_at_once_keep_their_order(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        new_records = [record(b"%d" % i) for i in range(5_000)]
        offsets = await asyncio.gather(
            *(log.produce(Topic.COMMANDS, 0, new) for new in new_records)
        )
        assert offsets == list(range(5_000))
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        records = await take(reader, 5_000)
        assert [r.value for r in records] == [r.value for r in new_records]
        await reader.close()


async def test_a_produced_record_that_is_too_large_fails_alone(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        large = record(bytes(2_000_000))
        results = await asyncio.gather(
            log.produce(Topic.COMMANDS, 0, record(b"a")),
            log.produce(Topic.COMMANDS, 0, large),
            log.produce(Topic.COMMANDS, 0, record(b"b")),
            return_exceptions=True,
        )
        assert (results[0], results[2]) == (0, 1)
        assert isinstance(results[1], BatchTooLargeError)


async def test_events_are_never_produced(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        with pytest.raises(ValueError, match="appended"):
            await log.produce(Topic.EVENTS, 0, record(b"x"))


async def test_a_closed_log_is_unavailable(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        await log.close()
        with pytest.raises(LogUnavailableError):
            await log.produce(Topic.COMMANDS, 0, record(b"x"))
        with pytest.raises(LogUnavailableError):
            await log.end_offset(Topic.EVENTS, 0)
        with pytest.raises(LogUnavailableError):
            await log.appender(0)

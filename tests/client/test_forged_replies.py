"""Replies that nobody should believe: a client keeps nothing of them."""

from __future__ import annotations

import asyncio
import tracemalloc

from sayiir_es import Flow, InMemoryBackend, aio
from sayiir_es.client.requests import Requests
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.requests import Claimed, Reply, encode_reply

FORGED = 20_000
BYTES_MAX = 500_000
"""Less than a client would keep of so many partitions."""

echo = Flow("echo").then(lambda value: value).build()


async def test_partitions_that_there_are_not_are_forgotten() -> None:
    log = MemoryLog(1)
    await log.open(create=True)
    requests = Requests(log)
    assert await requests.open(create=True)
    tracemalloc.start()
    try:
        for portion in range(0, FORGED, 1_000):
            for partition in range(portion + 1, portion + 1_001):
                forged = Reply(call=0, partition=partition, offset=0, answer=Claimed())
                record = NewRecord(key=None, value=encode_reply(forged))
                log.request_topics.post(Topic.REPLIES, 0, record)
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await requests.close()
        await log.close()
    assert kept < BYTES_MAX


async def test_a_forged_claim_disturbs_no_call() -> None:
    backend = InMemoryBackend()
    async with (
        aio.WorkflowClient(backend) as client,
        aio.Worker("w", backend, [echo]),
    ):
        topics = backend.open_log().request_topics
        for partition in (0, 1, 1 << 40):
            forged = Reply(
                call=1, partition=partition, offset=1 << 60, answer=Claimed()
            )
            record = NewRecord(key=None, value=encode_reply(forged))
            topics.post(Topic.REPLIES, 0, record)
        status = await client.run(echo, "a", 7, timeout=20)
        assert status.output == 7

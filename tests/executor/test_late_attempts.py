"""An executor that ends hands back what owners gave it before they heard of that."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sayiir_es import Flow, task
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.executor.attempt_taker import AttemptTaker
from sayiir_es.executor.taker_settings import TakerSettings
from sayiir_es.executor.task_code import TaskCode
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.attempts import encode_attempt
from sayiir_es.wire.commands import decode_command
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from tests.engine.attempts.remote.speaker import Speaker
from tests.engine.harness import EngineHarness

NAME = "e/1"


@task(execute="remote")
async def pay(value: int) -> int:
    return value


async def test_an_attempt_that_comes_while_it_ends_is_handed_back_at_once() -> None:
    workflow = Flow("orders").then(pay).build()
    harness = EngineHarness()
    local = LocalExecutor(2, worker_id="e")
    settings = TakerSettings(executor_id=NAME, slots=2, prefetch=0, drain_s=5.0)
    taker = AttemptTaker(
        harness.log, local, TaskCode([workflow], None), JSON_PAYLOADS, settings
    )
    listener = Speaker(harness.log, NAME)
    async with harness.worker(workflow), listener.reading():
        await taker.start()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        assert await harness.output() == 7
        known = await listener.attempt()
        draining = asyncio.create_task(taker.drain())
        await asyncio.sleep(0)  # nothing runs: it only waits for what is late
        late = replace(known, instance_id="late", secret=b"l" * len(known.secret))
        partition = partition_of(NAME.encode(), harness.log.partitions)
        record = NewRecord(key=NAME.encode(), value=encode_attempt(late))
        harness.log.request_topics.post(Topic.ATTEMPTS, partition, record)
        await draining
        await taker.close()
        commands = [
            decode_command(key=one.key, value=one.value, partition=0, offset=one.offset)
            for one in await harness.records(Topic.COMMANDS)
        ]
    await local.close()
    told = [
        (one.instance_id, one.result)
        for one in commands
        if isinstance(one, RecordOutcome)
    ]
    assert told == [("i", "completed"), ("late", "withdrawn")]

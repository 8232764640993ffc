"""What goes on in an executor for ever goes on, whatever a record of it says."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgpack

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.client.executor import running_executor
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.model.inputs import Handout, Outcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.lease import Lease
from sayiir_es.engine.attempts.remote import leases
from sayiir_es.executor.background import read_topic, repeat
from sayiir_es.executor.outcome_sender import OutcomeSender
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.attempts import PublishedAttempt, encode_attempt
from sayiir_es.wire.commands import decode_command
from tests.captured_logs import capture_logs
from tests.engine.attempts.test_slot_queue import owed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.log.port import Record

LIMIT_S = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_log() -> AsyncGenerator[MemoryLog]:
    log = MemoryLog(partitions=2)
    await log.open(create=True)
    await log.request_topics.open(create=True)
    yield log
    await log.close()


async def test_a_record_that_raises_is_skipped_and_the_next_is_read() -> None:
    taken: list[bytes | None] = []

    def take(record: Record) -> None:
        if record.value == b"odd":
            raise ZeroDivisionError("nobody foresaw it")
        taken.append(record.value)

    async with open_log() as log:
        topics, heard = log.request_topics, asyncio.Event()
        reading = asyncio.create_task(read_topic(topics, Topic.REPLIES, 0, take, heard))
        await heard.wait()
        with capture_logs() as lines:
            for value in (b"first", b"odd", b"last"):
                topics.post(Topic.REPLIES, 0, NewRecord(key=None, value=value))
            await until(lambda: taken[-1:] == [b"last"])
        assert taken == [b"first", b"last"]
        assert [line["event"] for line in lines] == ["executor.record_skipped"]
        assert not reading.done()
        reading.cancel()


async def test_what_is_repeated_goes_on_when_it_has_failed() -> None:
    times: list[int] = []

    def act() -> None:
        times.append(len(times))
        if len(times) < 3:
            raise ZeroDivisionError("nobody foresaw it")

    with capture_logs() as lines:
        repeating = asyncio.create_task(repeat("a test", 0.001, act))
        await until(lambda: len(times) >= 5)
    assert [line["event"] for line in lines] == ["executor.repetition_failed"] * 2
    assert lines[0]["reason"] == "a test"
    repeating.cancel()


def attempt_of(executor: str, **changed: Any) -> PublishedAttempt:
    """An attempt as an owner would hand it out, but for what is changed."""
    whole = PublishedAttempt(
        executor=executor,
        instance_id="i",
        run=1,
        path="double",
        attempt=1,
        secret=b"0123456789abcdef",
        partition=0,
        workflow="w",
        definition_hash="",
        graph_digest="",
        task_id="double",
        input=b"1",
        idempotency_key="i/1/double",
    )
    return replace(whole, **changed)


def packed(data: dict[str, Any]) -> bytes:
    packer: Any = msgpack
    value: bytes = packer.packb(data)
    return value


@task(execute="remote")
def double(value: int) -> int:
    return value * 2


ODD_REPLIES: list[dict[str, object]] = [
    {"reply": "claimed", "partition": -1},
    {"reply": "claimed", "partition": 10**6},
    {"reply": "listed", "instances": [], "is_last": True, "reached": [math.inf, ""]},
    {"reply": "listed", "instances": [{"at": 1, "status": [0] * 24}], "is_last": True},
    {"reply": ["claimed"]},
]
ODD_ATTEMPTS: list[dict[str, object]] = [
    {"partition": 2**31 - 1},
    {"timeout_ms": 2**63 - 1, "heartbeat_timeout_ms": 2**63 - 1},
    {"lease_ms": 0, "heartbeat_timeout_ms": 0},
    {"path": "%/@#/\x00", "input": b"\xff"},
    {"traceparent": "no such thing", "payload_limit": 0},
    {"run": 0, "attempt": 0, "instance_id": ""},
]


async def test_odd_records_leave_an_executor_that_hears() -> None:
    """Whatever came, an attempt of the worker runs behind it."""
    workflow = Flow[int, int]("w").then(double).build()
    backend = InMemoryBackend()
    executor = running_executor("e", backend, max_concurrent_tasks=2)
    with Worker("w", backend).start([workflow]):
        await executor.start([workflow])
        log = backend.open_log()
        await log.open(create=True)
        topics, key = log.request_topics, executor.executor_id.encode()
        await topics.open(create=True)
        numbers = {"call": 0, "partition": 0, "offset": 0}
        for reply in ODD_REPLIES:
            value: bytes = packed({**numbers, **reply})
            number = partition_of(key, topics.reply_partitions)
            topics.post(Topic.REPLIES, number, NewRecord(key=None, value=value))
        for number, odd in enumerate(ODD_ATTEMPTS):
            secret = bytes([number]) * 16
            record = attempt_of(executor.executor_id, **{"secret": secret, **odd})
            for value in (
                encode_attempt(record),
                encode_attempt(record)[: -number - 1],
            ):
                where = partition_of(key, log.partitions)
                topics.post(Topic.ATTEMPTS, where, NewRecord(key=key, value=value))
        client = WorkflowClient(backend)
        status = await asyncio.to_thread(
            client.run, workflow, "good", 21, timeout=LIMIT_S
        )
        assert status.output == 42
        await executor.stop()
        await log.close()
    backend.close()


async def test_an_outcome_that_cannot_be_written_is_told_as_a_failure() -> None:
    sent: list[PublishedAttempt] = []
    record = attempt_of("e")
    outcome = Outcome(
        instance_id="i",
        run=1,
        path="double",
        attempt=1,
        result="failed",
        error_type="Odd",
        error="\ud800",
        worker="e",
    )
    async with open_log() as log:
        sender = OutcomeSender(log, sent.append)
        sender.send(record, outcome)
        sender.send(replace(record, partition=10**6), outcome)
        await sender.drain(LIMIT_S)
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        chunk = await reader.read(max_wait_s=LIMIT_S)
        assert chunk is not None
        (told,) = chunk.records
        command = decode_command(
            key=told.key, value=told.value, partition=0, offset=told.offset
        )
    assert isinstance(command, RecordOutcome)
    assert (command.error_type, command.retriable) == ("encode", False)
    assert len(sent) == 2, "neither is held for ever"


class _Owner:
    """Cannot look at its store, once."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_broken = True

    def lost(self, attempt: Attempt) -> None:
        self.told.append((attempt.instance_id, "lost"))
        if self.is_broken and attempt.instance_id == "first":
            self.is_broken = False
            raise OSError("the disk refuses")

    def stalled(self, attempt: Attempt, silent_ms: int) -> None:
        raise AssertionError(attempt, silent_ms)


async def test_the_trouble_with_one_lost_attempt_is_not_the_others() -> None:
    watch, owner = leases.Leases(), _Owner()
    watch.listener = owner
    for name in ("first", "second"):
        attempt = owed(name)
        handout = Handout(executor="e", secret_hash=b"", lease_ms=1)
        attempt.lease = Lease(handout=handout)
        watch.add(attempt)
    await until(lambda: owner.told.count(("first", "lost")) >= 2)
    assert ("second", "lost") in owner.told
    watch.clear()

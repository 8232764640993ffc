"""Commands that Kafka deletes, or that come with old times; a clock that is wrong."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es.log.kafka.connection import Cluster
from sayiir_es.log.kafka.describe import describe
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import Topic
from tests.cli.kafka_apps import made_app
from tests.cli.processes import LIMIT_S, running
from tests.kafka_app import admin, delete_app, drop_records, producer, set_topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

DAY_MS = 24 * 60 * 60 * 1000
WORKER = ("worker", "run", "examples.orders")


@pytest.fixture
def app(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A fresh app with one partition, named by SAYIIR_BACKEND."""
    with made_app(terminal, kafka_bootstrap, monkeypatch, partitions=1) as made:
        yield made.app


async def start_of(bootstrap: str, name: str) -> int:
    """Where the commands of an app begin; it is made if it is not there."""
    log = KafkaLog(bootstrap, app=name, partitions=1)
    await log.open(create=True)
    try:
        return await log.start_offset(Topic.COMMANDS, 0)
    finally:
        await log.close()


async def retain_briefly(bootstrap: str, name: str, times: str) -> None:
    """Let segments of old records be deleted within seconds."""
    assert await start_of(bootstrap, name) == 0
    async with admin(bootstrap) as hands:
        settings = {"retention.ms": str(DAY_MS), "segment.ms": "1000"}
        settings |= {"message.timestamp.type": times, "file.delete.delay.ms": "100"}
        await set_topic(hands, f"{name}.commands", settings)


async def send(
    bootstrap: str, app: str, names: list[str], *, age_ms: int = 0
) -> list[int]:
    """Start orders by a program of another's; returns the offsets."""
    at_ms = time.time_ns() // 1_000_000 - age_ms
    offsets: list[int] = []
    async with producer(bootstrap) as client:
        for name in names:
            value: dict[str, object] = {"command": "StartWorkflow"}
            value["instance_id"] = name
            value |= {"workflow": "orders", "input": {"item": "teapot", "amount": 5}}
            sent = await client.send_and_wait(
                f"{app}.commands",
                json.dumps(value).encode(),
                key=name.encode(),
                partition=0,
                timestamp_ms=at_ms,
            )
            offsets.append(int(sent.offset))
    return offsets


def until_started(terminal: Terminal, instance_id: str) -> None:
    """Wait until an instance is there."""
    end_s = time.monotonic() + LIMIT_S
    while terminal(f"instance show {instance_id}").code:
        assert time.monotonic() < end_s, instance_id


async def delete_commands(bootstrap: str, app: str, before: int) -> None:
    async with admin(bootstrap) as hands:
        await drop_records(hands, f"{app}.commands", 0, before)


def test_a_loss_is_told_by_every_verb_and_passed_by_one_command(
    terminal: Terminal, app: str, kafka_bootstrap: str
) -> None:
    with running(terminal.cwd / "first", *WORKER) as worker:
        worker.until("serves orders")
        asyncio.run(send(kafka_bootstrap, app, ["before"]))
        until_started(terminal, "before")
        assert worker.end() == 0
    *_, last = asyncio.run(send(kafka_bootstrap, app, ["lost-1", "lost-2"]))
    asyncio.run(delete_commands(kafka_bootstrap, app, last + 1))
    asyncio.run(send(kafka_bootstrap, app, ["kept"]))

    words = f"commands {last - 1} to {last}"
    listed = terminal("partition list -o jsonl")
    assert listed.code == 1
    assert words in str(listed.rows()[0]["trouble"])
    assert "partition accept-loss 0" in str(listed.rows()[0]["trouble"])
    checked = terminal("doctor -o jsonl")
    assert checked.code == 1
    assert words in checked.out
    with running(terminal.cwd / "second", *WORKER) as worker:
        worker.until("partition.commands_lost")
        worker.until("partition.refused")
        assert words in worker.words()
        assert words in terminal("partition list -o jsonl").out
        assert words in terminal("doctor -o jsonl").out
        accepted = terminal("partition accept-loss 0 --reason 'sent again' -o json")
        assert accepted.code == 0, accepted.err
        assert accepted.json()["first_offset"] == last - 1
        assert accepted.json()["end_offset"] == last + 1
        until_started(terminal, "kept")
        worker.until("commands.loss_accepted")
        events = terminal("event tail --from-start --kind CommandsLost -o jsonl").rows()
        [lost] = events
        assert f'"first_offset": {last - 1}, "end_offset": {last + 1}' in json.dumps(
            lost
        )
        assert '"reason": "sent again"' in json.dumps(lost)
        assert worker.end() == 0
    assert terminal("partition accept-loss 0").code == 2  # nothing is lost any more
    assert terminal("audit verify").code == 0
    assert terminal("instance show lost-1").code == 3


def test_commands_with_old_times_are_read_though_no_worker_runs(
    terminal: Terminal, app: str, kafka_bootstrap: str
) -> None:
    """As Streams, Connect and CDC write them: with the time of what they are about."""
    control = f"{app}-control"
    names: list[str] = []

    asyncio.run(retain_briefly(kafka_bootstrap, app, "LogAppendTime"))
    asyncio.run(retain_briefly(kafka_bootstrap, control, "CreateTime"))
    end_s = time.monotonic() + LIMIT_S
    # Where the time of a record counts the broker deletes: then it has looked.
    while asyncio.run(start_of(kafka_bootstrap, control)) == 0:
        assert time.monotonic() < end_s
        names.append(f"old-{len(names)}")
        for name in (app, control):
            asyncio.run(send(kafka_bootstrap, name, names[-1:], age_ms=30 * DAY_MS))
        time.sleep(0.5)

    async def first_kept() -> tuple[int, int]:
        log = KafkaLog(kafka_bootstrap, app=app)
        await log.open(create=False)
        try:
            start = await log.start_offset(Topic.COMMANDS, 0)
            reader = await log.reader(Topic.COMMANDS, 0, start)
            chunk = await reader.read(max_wait_s=LIMIT_S)
            await reader.close()
            assert chunk is not None
            return start, chunk.records[0].timestamp_ms
        finally:
            await log.close()

    start, at_ms = asyncio.run(first_kept())
    assert start == 0
    asyncio.run(delete_app(kafka_bootstrap, control))
    assert time.time_ns() // 1_000_000 - at_ms < DAY_MS
    with running(terminal.cwd / "words", *WORKER) as worker:
        worker.until("serves orders")
        for name in names:
            until_started(terminal, name)
        assert worker.end() == 0


def test_a_new_app_keeps_the_time_of_append_but_for_events(
    terminal: Terminal, app: str, kafka_bootstrap: str
) -> None:
    del terminal

    async def types() -> dict[str, str]:
        log = KafkaLog(kafka_bootstrap, app=app)
        await log.open(create=False)
        await log.open_snapshots()
        names = {topic.value: log.name(topic) for topic in Topic}
        await log.close()
        cluster = Cluster(kafka_bootstrap, {})
        await cluster.open()
        found = await describe(cluster, [*names.values()])
        await cluster.close()
        return {
            role: found.topics[name].settings["message.timestamp.type"]
            for role, name in names.items()
        }

    assert asyncio.run(types()) == {
        topic.value: "CreateTime" if topic is Topic.EVENTS else "LogAppendTime"
        for topic in Topic
    }


def test_a_worker_whose_clock_is_hours_ahead_claims_nothing_and_ends(
    terminal: Terminal, app: str, kafka_bootstrap: str
) -> None:
    del app, kafka_bootstrap
    with running(
        terminal.cwd / "words", *WORKER, program="tests.cli.fast_clock"
    ) as worker:
        assert worker.wait() == 5
        words = worker.words()
    assert "error clock_refused" in words
    assert "InvalidTimestampError" in words
    assert "partition.refused" in words
    assert words.count("partition.clock_refused") == 2
    assert terminal("event tail --from-start -o jsonl").out == ""

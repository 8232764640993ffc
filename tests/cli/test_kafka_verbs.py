"""Verbs that read every topic, on a real Kafka with two partitions."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.client.backends import KafkaBackend
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from tests.cli.processes import running
from tests.kafka_app import admin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

VALUE = b'{"command":"StartWorkflow","workflow":"doubling"'


@pytest.fixture
def app(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaBackend]:
    """An app of this test's own, named by SAYIIR_BACKEND."""
    name = f"t-{secrets.token_hex(4)}"
    monkeypatch.setenv("SAYIIR_BACKEND", f"kafka://{kafka_bootstrap}/{name}")
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    assert terminal("topic create --partitions 2").code == 0
    yield KafkaBackend(kafka_bootstrap, app=name)

    async def delete() -> None:
        async with admin(kafka_bootstrap) as hands:
            await hands.delete_topics([f"{name}.{topic.value}" for topic in Topic])

    asyncio.run(delete())


def produce(app: KafkaBackend, partition: int, record: NewRecord) -> None:
    """Write a record to a partition of the commands."""

    async def body() -> None:
        log = app.open_log()
        await log.open(create=False)
        await log.produce(Topic.COMMANDS, partition, record)
        await log.close()

    asyncio.run(body())


def test_every_partition_is_searched_and_its_dead_letters_retried(
    terminal: Terminal, app: KafkaBackend
) -> None:
    home = partition_of(b"late", 2)
    words = terminal.cwd / "words"
    with running(words, "worker", "run", "tests.cli.sample_workflows") as worker:
        worker.until("serves")
        for number in range(8):
            typed = f"instance start doubling --id i{number} --input {number}"
            parity = f"--attribute parity={number % 2}"
            assert terminal(f"{typed} {parity} --wait").code == 0
        assert terminal("instance count --attribute parity=1").out == "4\n"
        odd = terminal("instance list --attribute parity=1 -o jsonl").rows()
        assert {row["instance_id"] for row in odd} == {"i1", "i3", "i5", "i7"}
        listed = terminal("workflow list -o jsonl").rows()
        assert "doubling" in {row["name"] for row in listed}

        partitions = terminal("partition list -o jsonl").rows()
        assert [row["partition"] for row in partitions] == [0, 1]
        assert [row["commands_behind"] for row in partitions] == [0, 0]
        assert all(row["owner"] and row["claimed_at"] for row in partitions)

        # On the partition that is not its home, and cut too short to be read.
        produce(app, 1 - home, NewRecord(key=b"late", value=VALUE))
        behind = next(f"b{n}" for n in range(99) if partition_of(b"b%d" % n, 2) != home)
        line = f"instance start doubling --id {behind} --input 1 --wait"
        assert terminal(line).code == 0
        [letter] = terminal("dead-letter list -o jsonl").rows()
        assert str(letter["dead_letter"]).startswith(f"{1 - home}@")
        again = terminal(f"dead-letter retry {letter['dead_letter']} -o json")
        assert again.code == 4
        assert str(again.json()["command"]).startswith(f"{home}@")
        [other] = terminal("dead-letter list -o jsonl").rows()
        assert terminal(f"dead-letter drop {other['dead_letter']}").code == 0
        assert terminal("dead-letter list -o jsonl").rows() == []
        assert terminal("doctor").code == 0
        assert worker.end() == 0

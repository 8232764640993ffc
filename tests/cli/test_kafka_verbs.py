"""Verbs that read every topic, on a real Kafka with two partitions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from sayiir_es import WorkflowClient, backend_from_url
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.port import NewRecord, Topic
from tests import kafka_app
from tests.cli.kafka_apps import made_app
from tests.cli.processes import running
from tests.kafka_app import admin, set_topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.client.backends import KafkaBackend
    from tests.cli.conftest import CommandResult, Terminal

pytestmark = pytest.mark.kafka

VALUE = b'{"command":"StartWorkflow","workflow":"doubling"'


@pytest.fixture
def app(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaBackend]:
    """An app of this test's own, named by SAYIIR_BACKEND."""
    with made_app(terminal, kafka_bootstrap, monkeypatch, partitions=2) as made:
        yield made


def produce(app: KafkaBackend, partition: int, record: NewRecord) -> None:
    """Write a record to a partition of the commands."""

    async def body() -> None:
        log = app.open_log()
        await log.open(create=False)
        await log.produce(Topic.COMMANDS, partition, record)
        await log.close()

    asyncio.run(body())


def look_at_the_worker(terminal: Terminal) -> None:
    """It owns both partitions, and tells of each."""
    [worker] = terminal("worker list -o jsonl").rows()
    assert (worker["partitions"], worker["slots"]) == ([0, 1], 64)
    assert "doubling" in str(worker["workflows"])
    counts = [
        cast("Any", terminal(f"partition show {number} -o json").json())["report"]
        for number in (0, 1)
    ]
    assert sum(one["instances"].get("completed", 0) for one in counts) == 8
    assert all(one["store_bytes"] > 0 for one in counts)
    assert {one["owner_id"] for one in counts} == {worker["owner"]}


def look_at_pages(app: KafkaBackend) -> None:
    """Pages that end when time is up are merged over both partitions."""
    seen: list[str] = []
    token: str | None = None
    with backend_from_url(app.url) as backend:
        client = WorkflowClient(backend)
        while True:
            page = client.list_page(limit=3, within="1s", token=token)
            seen += [one.instance_id for one in page.instances]
            token = page.next_token
            if token is None:
                break
        assert seen == [one.instance_id for one in client.list()]
        assert len(seen) == 8
        assert client.list(waiting_for="task") == ()
        assert [one.commands_behind for one in client.partitions()] == [0, 0]


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
        look_at_the_worker(terminal)
        look_at_pages(app)

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


def test_a_partition_that_an_open_transaction_blocks_is_told_and_no_other(
    terminal: Terminal, app: KafkaBackend
) -> None:
    async def look() -> tuple[CommandResult, CommandResult]:
        """Ask while another program's transaction has been open for a minute."""
        # The time of append would say that it wrote just now.
        async with admin(app.bootstrap_servers) as hands:
            times = {"message.timestamp.type": "CreateTime"}
            await set_topic(hands, f"{app.app}.commands", times)
        settings = {"transactional_id": app.app, "transaction_timeout_ms": 600_000}
        async with kafka_app.producer(app.bootstrap_servers, **settings) as client:
            await client.begin_transaction()
            await client.send_and_wait(
                f"{app.app}.commands",
                VALUE + b"}",
                b"blocked",
                partition=1,
                timestamp_ms=SystemClock().now_ms() - 60_000,
            )
            listing = await asyncio.to_thread(terminal, "partition list -o jsonl")
            doctor = await asyncio.to_thread(terminal, "doctor -o jsonl")
            await client.abort_transaction()
        return listing, doctor

    listing, doctor = asyncio.run(look())
    assert (listing.code, doctor.code) == (1, 1)
    first, second = listing.rows()
    assert first["trouble"] is None
    assert "blocked from offset 0 on by an open transaction of producer id" in str(
        second["trouble"]
    )
    [finding] = [row for row in doctor.rows() if row["check"] == "workers"]
    assert finding["ok"] is False
    assert "the commands of partition 1 are blocked" in str(finding["finding"])
    assert "blocked" not in terminal("partition list -o jsonl").out, "it was aborted"


@pytest.mark.long  # it waits for two limits, a minute in all
def test_a_client_that_gets_no_answer_says_why(
    terminal: Terminal, app: KafkaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sayiir_es.client.session.REPLY_LIMIT_S", 0.5)
    nobody = terminal("instance start doubling --id a --input 1")
    assert nobody.code == 5
    assert "no worker owns partition" in nobody.err

    async def announce() -> None:
        log = app.open_log()
        await log.open(create=False)
        refusal = Refusal(code="store", reason="expected room, but there is none")
        definitions = DefinitionFeed(log, Registry())
        await definitions.announce("w/1", {0: refusal, 1: refusal})
        await log.close()

    asyncio.run(announce())
    refused = " ".join(terminal("instance start doubling --id b --input 1").err.split())
    assert "worker 'w' gave partition" in refused
    assert "its store cannot be used: expected room, but there is none" in refused

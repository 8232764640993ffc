"""The command line on a real Kafka, with a worker, a projector and a stranger."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from examples import produce_json
from sayiir_es.log.port import APP_TOPICS
from tests.cli.processes import LIMIT_S, running
from tests.kafka_app import delete_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

COUNT = 12


@pytest.fixture
def cluster(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str]]:
    """The brokers and an app of this test's own, named by SAYIIR_BACKEND."""
    app = f"t-{secrets.token_hex(4)}"
    monkeypatch.setenv("SAYIIR_BACKEND", f"kafka://{kafka_bootstrap}/{app}")
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    yield kafka_bootstrap, app

    asyncio.run(delete_app(kafka_bootstrap, app))


def test_topics_are_made_once_and_checked(
    terminal: Terminal, cluster: tuple[str, str]
) -> None:
    _, app = cluster
    missing = terminal("topic check")
    assert missing.code == 3
    assert "error app_not_found" in missing.err
    rows = terminal("topic create --partitions 2 -o jsonl").rows()
    assert {row["topic"] for row in rows} == {f"{app}.{t.value}" for t in APP_TOPICS}
    assert terminal("topic check -o jsonl").rows() == rows
    assert terminal("topic create --partitions 2").code == 0
    other = terminal("topic create --partitions 3")
    assert other.code == 1
    assert "never be changed" in other.err
    assert terminal("doctor").code == 0


def test_a_foreign_producer_starts_what_a_worker_runs(
    terminal: Terminal, cluster: tuple[str, str]
) -> None:
    bootstrap, app = cluster
    terminal("topic create --partitions 2")
    with running(terminal.cwd / "words", "worker", "run", "examples.orders") as worker:
        worker.until("serves orders")
        produce_json.main(bootstrap, COUNT, f"{app}.commands")
        end_s = time.monotonic() + LIMIT_S
        while len(terminal("instance list -o jsonl").rows()) < COUNT:
            assert time.monotonic() < end_s, worker.words()
        for number in range(COUNT):
            result = terminal(f"instance result order-{number} --wait")
            assert '"shipped": true' in result.out
        assert worker.end() == 0

    listed = terminal("instance list --status completed -o jsonl").rows()
    assert len(listed) == COUNT
    events = terminal("event tail --from-start -o jsonl").rows()
    times = [int(str(row["at"])) for row in events]
    assert times == sorted(times)
    for number in range(COUNT):
        instance_id = f"order-{number}"
        history = terminal(f"instance history {instance_id} -o jsonl").rows()
        assert [row["sequence"] for row in history] == list(range(1, len(history) + 1))
        assert history == [row for row in events if row["instance_id"] == instance_id]
    for partition in (0, 1):
        own = [row for row in events if row["partition"] == partition]
        for row in (own[0], own[len(own) // 2], own[-1]):
            tail = terminal(
                f"event tail --from {partition}:{row['offset']} -o jsonl"
            ).rows()
            assert tail == own[own.index(row) :]

    views = terminal.cwd / "views"
    project = ("projector", "run", "--partitions", "0-1", "--state-dir", str(views))
    with running(terminal.cwd / "more", *project) as projector:
        projector.until("caught up")
        assert projector.end() == 0
    stored = terminal(f"instance list -o jsonl --state-dir {views}").rows()
    assert stored == listed

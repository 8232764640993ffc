"""No verb that reads makes anything: no file, no folder, no topic."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient
from sayiir_es.audit import export, history, verify
from sayiir_es.cli.verb_table import VERBS, Verb, VerbGroup
from sayiir_es.core.model.errors import AppNotFoundError
from sayiir_es.log.kafka.log import KafkaLog
from tests.kafka_app import admin, delete_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Terminal

MAKES_A_LOG = {
    *("demo", "dev"),
    "worker run examples.orders",
    "executor run examples.orders --tags gpu",
    "topic create --partitions 8 --backend kafka://localhost:9092/sayiir",
    'instance start orders --id order-7 --input \'{"item":"teapot","amount":5}\'',
    "audit import audit-2026 --backend file:copy.db",
}
SIGNAL = "instance signal order-7 approval --payload '{\"ok\":true}'"
"""May come before its instance, which on one machine may be the first."""

NO_LOG = {
    "error no_worker",
    *("schema list -o jsonl", "schema check", "schema register --dry-run"),
    "topic check --backend kafka://localhost:9092/sayiir",
}
"""They read no log, or say on one in a file that there is nothing to do."""


def examples(group: VerbGroup = VERBS) -> Iterator[str]:
    """One line of each verb."""
    for entry in group.entries.values():
        if isinstance(entry, Verb):
            yield entry.example
        else:
            yield from examples(entry)


WAITS_FOR_A_LOG = {"serve --port 8080"}
"""Pages may be there before the log is: `tests/cli/test_serve.py`."""

ONLY_ON_KAFKA = {"partition forward --dry-run"}
"""In a file it has nothing to do."""

READING = sorted({*examples()} - MAKES_A_LOG - NO_LOG - WAITS_FOR_A_LOG)


def test_the_verbs_that_make_a_log_are_verbs() -> None:
    assert {*examples()} >= MAKES_A_LOG | NO_LOG | WAITS_FOR_A_LOG | {SIGNAL}


@pytest.mark.parametrize("typed", sorted({*READING} - {SIGNAL} - ONLY_ON_KAFKA))
def test_a_mistyped_file_is_told_and_not_made(terminal: Terminal, typed: str) -> None:
    (terminal.cwd / "logs.db").touch()
    answer = terminal(typed)
    assert [path.name for path in terminal.cwd.iterdir()] == ["logs.db"]
    if typed == "doctor":
        assert "does not exist yet" in " ".join(answer.out.split())
        return
    assert answer.code == 3, answer.err
    assert "error app_not_found" in answer.err
    assert "'logs.db'" in answer.err


def _python_calls(url: str, folder: Path) -> list[Callable[[], object]]:
    client = WorkflowClient(url)
    return [
        lambda: client.status("a"),
        lambda: client.wait("a", 5),
        lambda: client.get_task_result("a", "t"),
        client.list,
        client.list_page,
        client.count,
        lambda: client.cancel("a"),
        lambda: client.pause("a"),
        lambda: client.unpause("a"),
        lambda: client.retry("a"),
        lambda: client.fork("a", at=1, new_id="b"),
        lambda: history(url, "a"),
        lambda: verify(url),
        lambda: export(url, folder / "out"),
    ]


@pytest.mark.parametrize("number", range(14))
def test_a_call_that_reads_makes_no_file(tmp_path: Path, number: int) -> None:
    calls = _python_calls(f"file:{tmp_path / 'a' / 'log.db'}", tmp_path)
    with pytest.raises(AppNotFoundError, match="no such file"):
        calls[number]()
    assert list(tmp_path.iterdir()) == []


# --- on Kafka -------------------------------------------------------------------------


@pytest.fixture
def neighbour(kafka_bootstrap: str) -> Iterator[str]:
    """An app that is there."""
    log = KafkaLog(kafka_bootstrap, app=f"orders-{secrets.token_hex(4)}", partitions=1)

    async def make() -> None:
        await log.open(create=True)
        await log.close()

    asyncio.run(make())
    yield log.app
    asyncio.run(delete_app(kafka_bootstrap, log.app))


async def _topics(bootstrap: str) -> set[str]:
    async with admin(bootstrap) as hands:
        return {*await hands.list_topics()}


@pytest.mark.kafka
def test_a_mistyped_app_is_told_and_neither_topics_nor_folders_are_made(
    terminal: Terminal,
    kafka_bootstrap: str,
    neighbour: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"kafka://{kafka_bootstrap}/{neighbour.replace('orders', 'ordres')}"
    monkeypatch.setenv("SAYIIR_BACKEND", url)
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.cwd / "state"))
    before = asyncio.run(_topics(kafka_bootstrap))
    for typed in [*READING, "topic check"]:
        answer = terminal(typed)
        said = answer.out if typed == "doctor" else answer.err
        assert answer.code == (1 if typed == "doctor" else 3), (typed, answer)
        assert neighbour in said.replace("\n", ""), (typed, answer)
    for call in _python_calls(url, terminal.cwd):
        with pytest.raises(AppNotFoundError, match=neighbour):
            call()
    assert asyncio.run(_topics(kafka_bootstrap)) == before
    assert list(terminal.cwd.iterdir()) == []

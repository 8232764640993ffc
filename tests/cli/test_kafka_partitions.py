"""Partitions that somebody adds to a topic under running workers and clients."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from examples import produce_json
from sayiir_es import WorkflowClient
from sayiir_es.core.model.errors import UnsafeLogError
from tests import kafka_app
from tests.cli.kafka_apps import made_app
from tests.cli.processes import LIMIT_S, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.client.backends import KafkaBackend
    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

COUNT = 60
NOTICED_S = 10.0
ORDER = {"item": "teapot", "amount": 5}


@pytest.fixture
def app(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaBackend]:
    """An app of two partitions, named by SAYIIR_BACKEND."""
    with made_app(terminal, kafka_bootstrap, monkeypatch, partitions=2) as made:
        yield made


def widen(app: KafkaBackend) -> None:
    async def body() -> None:
        async with kafka_app.admin(app.bootstrap_servers) as hands:
            await kafka_app.raise_partitions(hands, f"{app.app}.commands", 4)

    asyncio.run(body())


def completed(terminal: Terminal) -> int:
    return len(terminal("instance list --status completed --limit 200 -o jsonl").rows())


def test_added_partitions_are_noticed_and_what_was_written_there_comes_home(
    terminal: Terminal, app: KafkaBackend
) -> None:
    notices: list[str] = []
    app.on_notice = notices.append
    with (
        running(terminal.cwd / "words", "worker", "run", "examples.orders") as worker,
        app,
    ):
        worker.until("serves orders")
        client = WorkflowClient(app)
        client.submit("orders", "before", ORDER)
        widen(app)
        began_s = time.monotonic()
        worker.until("log.partitions_raised")
        asyncio.run(kafka_app.until(lambda: bool(notices)))
        assert time.monotonic() - began_s < NOTICED_S
        assert (
            f"{app.app}.commands has 4 partitions, but the app was made with 2"
            in (notices[0])
        )
        with pytest.raises(UnsafeLogError, match="has 4 partitions"):
            client.submit("orders", "after", ORDER)
        refused = terminal("instance start orders --id later --input 1")
        assert refused.code == 1
        assert "has 4 partitions" in refused.err
        client.send_signal("before", "approval", {"ok": True})
        assert client.wait("before", 20).is_completed(), "what runs goes on"

        produce_json.main(app.bootstrap_servers, COUNT, f"{app.app}.commands")
        forward_strays(terminal)
        end_s = time.monotonic() + LIMIT_S
        while completed(terminal) < COUNT + 1:
            assert time.monotonic() < end_s, worker.words()
        assert worker.end() == 0
    again = terminal("worker run examples.orders")
    assert again.code == 1
    assert "has 4 partitions" in again.err


def forward_strays(terminal: Terminal) -> None:
    """By the words of the doctor; nothing is left then."""
    doctor = terminal("doctor -o jsonl")
    assert doctor.code == 1
    [finding] = [row for row in doctor.rows() if row["check"] == "strays"]
    strays = int(str(finding["finding"]).split()[0])
    assert 0 < strays < 2 * COUNT
    assert "partition forward" in str(finding["fix"])
    rows = terminal("partition forward --dry-run -o jsonl").rows()
    assert sum(int(str(row["commands"])) for row in rows) == strays
    assert terminal("partition forward").code == 2, "nobody could be asked"
    assert f"{strays} forwarded" in terminal("partition forward --yes").err
    assert terminal("partition forward --yes -o jsonl").rows() == []
    assert "strays" not in terminal("doctor").out


def test_an_app_whose_topics_were_widened_is_read_and_moved_to_another_name(
    terminal: Terminal, app: KafkaBackend
) -> None:
    client = WorkflowClient(app)
    client.submit("orders", "a", ORDER, ack="log")
    app.close()
    widen(app)
    assert terminal("instance list -o json").out == "[]\n"
    assert terminal("topic check").code == 1
    assert terminal(f"audit export {terminal.cwd / 'out'}").code == 0
    copy = f"--backend kafka://{app.bootstrap_servers}/{app.app}-2"
    try:
        assert terminal(f"audit import {terminal.cwd / 'out'} {copy}").code == 0
        rows = terminal(f"topic check {copy} -o jsonl").rows()
        assert {row["partitions"] for row in rows} == {1, 2}
    finally:
        asyncio.run(kafka_app.delete_app(app.bootstrap_servers, f"{app.app}-2"))

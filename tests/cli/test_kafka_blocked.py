"""A transaction that another program left open is named to everybody, within 5 s."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient
from tests import kafka_app
from tests.cli.kafka_apps import made_app
from tests.cli.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.client.backends import KafkaBackend
    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

NAMED_S = 5.0


@pytest.fixture
def app(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KafkaBackend]:
    """An app of one partition, named by SAYIIR_BACKEND."""
    with made_app(terminal, kafka_bootstrap, monkeypatch, partitions=1) as made:
        yield made


class HangingProducer:
    """Another program that begins a transaction, writes to it, and hangs."""

    def __init__(self, app: KafkaBackend) -> None:
        self._app = app
        self._begun, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hang()))

    def begin(self) -> None:
        """Return when its record stands on partition 0 of the commands."""
        self._thread.start()
        assert self._begun.wait(20)

    def abort(self) -> None:
        """Let it end."""
        self._over.set()
        self._thread.join(20)

    async def _hang(self) -> None:
        settings = {"transactional_id": "bills-7", "transaction_timeout_ms": 600_000}
        address = self._app.bootstrap_servers
        async with kafka_app.producer(address, **settings) as client:
            await client.begin_transaction()
            topic = f"{self._app.app}.commands"
            await client.send_and_wait(topic, b"{}", b"k", partition=0)
            self._begun.set()
            await asyncio.to_thread(self._over.wait)
            await client.abort_transaction()


def test_a_hanging_transaction_is_named_to_worker_client_and_doctor(
    terminal: Terminal, app: KafkaBackend
) -> None:
    notices: list[tuple[float, str]] = []
    hanging = HangingProducer(app)
    app.on_notice = lambda text: notices.append((time.monotonic(), text))
    with (
        running(terminal.cwd / "words", "worker", "run", "examples.orders") as worker,
        app,
        ThreadPoolExecutor(1) as pool,
    ):
        worker.until("serves orders")
        hanging.begin()
        try:
            began_s = time.monotonic()
            order = {"item": "teapot", "amount": 5}
            start = pool.submit(WorkflowClient(app).submit, "orders", "o-1", order)
            worker.until("commands.blocked")
            assert time.monotonic() - began_s < NAMED_S
            asyncio.run(kafka_app.until(lambda: bool(notices)))
            ((at_s, text),) = notices
            assert at_s - began_s < NAMED_S
            findings = terminal("doctor -o jsonl").rows()
            assert time.monotonic() - began_s < 2 * NAMED_S
            assert not start.done()
        finally:
            hanging.abort()
        assert start.result(20).workflow == "orders"
        assert worker.end() == 0
    [finding] = [row for row in findings if row["check"] == "workers"]
    line = next(x for x in worker.words().splitlines() if "commands.blocked" in x)
    for said in (line, text, f"{finding['finding']} {finding['fix']}"):
        assert "blocked from offset 0 on by an open transaction of producer" in said
        assert f"(transactional id 'bills-7') on '{app.app}.commands' 0" in said
        assert f"abort --topic {app.app}.commands --partition 0 --start-off" in said
    assert worker.words().count("commands.blocked") == 1

"""A deploy on a real Kafka: what runs goes on with another build, or is found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, KafkaBackend, Worker, WorkflowClient
from tests.kafka.load_run import LIMIT_S
from tests.kafka.verdict import violations
from tests.kafka.worker_process import HEARTBEAT_MS, SESSION_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def new_backend(live_app: LiveApp) -> Iterator[Callable[[str], KafkaBackend]]:
    """Makes backends of the app, each with state of its own."""
    made: list[KafkaBackend] = []

    def make(name: str) -> KafkaBackend:
        made.append(
            KafkaBackend(
                live_app.bootstrap,
                app=live_app.app,
                state_dir=live_app.folder / f"state-{name}",
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
            )
        )
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_what_waits_goes_on_with_another_build_or_is_found(
    live_app: LiveApp, new_backend: Callable[[str], KafkaBackend]
) -> None:
    names = [f"i{number}" for number in range(6)]
    old = Flow("orders").wait_for_signal("go").then(lambda _: "A", name="pay").build()
    changed = Flow("orders", metadata={"build": "B"}).wait_for_signal("go")
    changed.then(lambda _: "B", name="pay").then(len, name="ship")
    renamed = Flow("orders").wait_for_signal("go").then(lambda _: "C", name="charge")
    client = WorkflowClient(new_backend("client"))
    with Worker("old", new_backend("old")).start([old]):
        for name in names:
            client.submit(old, name, None)
        until(lambda: client.count(status="awaiting_signal") == len(names))
    with Worker("changed", new_backend("changed")).start([changed.build()]):
        for name in names[:3]:
            client.send_signal(name, "go", None)
            assert client.wait(name, timeout="20s").output == "B"
    with Worker("renamed", new_backend("renamed")).start([renamed.build()]):
        for name in names[3:]:
            client.send_signal(name, "go", None)
        until(lambda: client.count(status="stranded") == 3)
        result = client.migrate_where(
            to="latest", mapping={"pay": "charge"}, status="stranded"
        )
        assert (result.done, result.errors) == (3, {})
        for name in names[3:]:
            assert client.wait(name, timeout="20s").output == "C"
    assert violations(live_app.reader()) == []

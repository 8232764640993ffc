"""Migrating instances: by id and by criteria, on a live worker, through its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    InstanceNotFoundError,
    Worker,
    WorkflowClient,
    WorkflowError,
)
from sayiir_es.audit import verify
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.errors import CommandRefusedError
from tests.client.test_changed_workflows import park, saying, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

OLD = Flow("orders").wait_for_signal("go").then(saying("old"), name="pay").build()
NEW = (
    Flow("orders", version="2")
    .wait_for_signal("go")
    .then(saying("new"), name="charge")
    .then(len)
    .build()
)


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "memory":
        yield InMemoryBackend()
        return
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        yield backend


def is_sound(backend: Backend) -> bool:
    return verify(backend).holds


def test_a_stranded_instance_goes_on_with_the_graph_that_it_migrates_to(
    backend: Backend,
) -> None:
    park(backend, OLD)
    client = WorkflowClient(backend)
    with Worker("new", backend).start([NEW]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        with pytest.raises(CommandRefusedError) as caught:
            client.migrate("i", to=NEW)
        assert caught.value.rejection == "not_migratable"
        assert "expected a task at 'pay'" in str(caught.value)
        status = client.migrate(
            "i", to=NEW, mapping={"pay": "charge"}, reason="2", migrated_by="ana"
        )
        assert (status.version, status.definition_hash) == ("2", NEW.definition_hash)
        assert client.wait("i", timeout="10s").output == 3
    assert is_sound(backend)


def test_many_migrate_by_criteria(backend: Backend) -> None:
    client = WorkflowClient(backend)
    for number in range(5):
        park(backend, OLD, f"i{number}")
    with Worker("new", backend).start([NEW]):
        client.send_signal("i0", "go", None)
        until(lambda: client.count(status="stranded") == 1)
        stranded = client.migrate_where(
            to=NEW.definition_hash[:8], mapping={"pay": "charge"}, status="stranded"
        )
        assert (stranded.done, stranded.errors) == (1, {})
        client.wait("i0", timeout="10s")
        rest = client.migrate_where(to="latest", workflow="orders")
        assert (rest.done, rest.errors) == (4, {})
        client.signal_where("go", workflow="orders")
        for number in range(5):
            assert client.wait(f"i{number}", timeout="10s").output == 3
    assert is_sound(backend)


def test_what_runs_goes_on_and_what_queues_begins_with_the_new_graph() -> None:
    backend, begun, end = InMemoryBackend(), threading.Event(), threading.Event()
    client = WorkflowClient(backend)

    def wait(value: object) -> object:
        begun.set()
        end.wait(10)
        return value

    first = Flow("w", version="1").then(wait, name="a").build()
    second = (
        Flow("w", version="2")
        .then(saying("not called"), name="a")
        .then(saying("behind"), name="b")
        .build()
    )
    queue = Flow("w", version="1q").then(saying("first"), name="a").build()
    with Worker("w", backend, max_concurrent_tasks=1).start([first, second, queue]):
        client.submit(first, "runs", None)
        assert begun.wait(10)
        client.submit(queue, "queues", None)
        with pytest.raises(CommandRefusedError, match="pause it first"):
            client.migrate("runs", to=second, mapping={"a": "b"})
        client.migrate("runs", to=second)
        client.migrate("queues", to=second)
        end.set()
        assert client.wait("runs", timeout="10s").output == "behind"
        assert client.wait("queues", timeout="10s").output == "behind"
        assert client.get_task_result("queues", "a") == "not called"
        assert client.get_task_result("runs", "a") is None
    assert is_sound(backend)


def test_a_paused_instance_migrates_what_ran() -> None:
    backend, begun = InMemoryBackend(), threading.Event()
    client = WorkflowClient(backend)

    def wait(value: object) -> object:
        begun.set()
        return value

    first = Flow("w").then(wait, name="a").wait_for_signal("go").build()
    second = Flow("w").then(wait, name="b").wait_for_signal("go").build()
    park(backend, first)
    with Worker("w", backend).start([first]):
        client.pause("i")
        client.migrate("i", to=second, mapping={"a": "b"})
        client.unpause("i")
        client.send_signal("i", "go", 7)
        assert client.wait("i", timeout="10s").output == 7
        assert client.get_task_result("i", "b") is None
    assert is_sound(backend)


def test_what_means_nothing_is_refused(backend: Backend) -> None:
    client = WorkflowClient(backend)
    park(backend, OLD)
    with pytest.raises(InstanceNotFoundError):
        client.migrate("none", to="latest")
    for to in ("short", "f" * 8):
        with pytest.raises(WorkflowError, match="expected"):
            client.migrate("i", to=to)
    with pytest.raises(ValueError, match="a criterion"):
        client.migrate_where(to="latest")

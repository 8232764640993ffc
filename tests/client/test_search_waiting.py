"""Finding instances by what they wait for, by what failed where, and by their ids."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    EmbeddedBackend,
    ErrorGroup,
    Flow,
    InMemoryBackend,
    RetryPolicy,
    Worker,
    WorkflowClient,
    run_durable_workflow,
    task,
)
from sayiir_es.core.model.errors import BackendError
from sayiir_es.core.status.waits import KINDS
from sayiir_es.wire import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend


def same(value: object) -> object:
    return value


def fail(_value: object) -> object:
    raise ValueError("declined")


def decline(_value: object) -> object:
    raise ValueError("declined")


LATER = RetryPolicy(max_retries=3, initial_delay_secs=3600, backoff_multiplier=1.0)

approving = Flow("approving").wait_for_signal("approval").build()
cooling = Flow("cooling").delay("cool_off", "1h").build()
trying = Flow("trying").then(task(retries=LATER)(fail), name="charge").build()
failing = Flow("failing").then(decline, name="charge").then(same, name="ship").build()
split = (
    Flow("split")
    .fork()
    .branch(Flow("a").wait_for_signal("left"))
    .branch(Flow("b").delay("rest", "1h"))
    .join(same, name="join")
    .build()
)
rendering = Flow("rendering").then(task(tags=["gpu"])(same), name="render").build()
orders = Flow("orders").wait_for_signal("go").then(same, name="pay").build()
renamed = Flow("orders").wait_for_signal("go").then(same, name="charge").build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with backend:
        yield backend


def ids(client: WorkflowClient, **criteria: Any) -> list[str]:
    return sorted(one.instance_id for one in client.list(**criteria))


def until_waits(client: WorkflowClient, waiting_for: str) -> None:
    """Wait until some instance waits for that."""
    end = time.monotonic() + 10
    while not client.count(waiting_for=waiting_for):
        assert time.monotonic() < end, client.count_by("waiting_for")
        time.sleep(0.01)


def test_each_kind_of_wait_is_found_alone_and_by_its_name(backend: Backend) -> None:
    client = WorkflowClient(backend)
    blocked = threading.Event()

    def block(_value: object) -> None:
        blocked.wait(30)

    blocking = Flow("blocking").then(block, name="block").build()
    flows = (approving, cooling, trying, split, rendering, orders)
    with Worker("old", backend).start([orders]):
        client.submit(orders, "stranded")
        until_waits(client, "signal:go")
    with Worker("w", backend, tags=["cpu"]).start(
        [*(flow for flow in flows if flow is not orders), renamed, blocking]
    ):
        for flow in (approving, cooling, trying, split, rendering):
            client.submit(flow, flow.graph.name)
        client.submit(blocking, "blocking")
        client.submit(approving, "paused")
        client.pause("paused")
        client.send_signal("stranded", "go")
        for waiting_for in ("retry:charge", "code:pay", "tag:render", "unpause"):
            until_waits(client, waiting_for)
        expected = {
            "signal": ["approving", "split"],
            "signal:approval": ["approving"],
            "signal:left": ["split"],
            "delay": ["cooling", "split"],
            "delay:rest": ["split"],
            "delay:cool_off": ["cooling"],
            "task": ["blocking"],
            "task:block": ["blocking"],
            "retry": ["trying"],
            "retry:charge": ["trying"],
            "unpause": ["paused"],
            "code": ["stranded"],
            "code:pay": ["stranded"],
            "tag": ["rendering"],
            "tag:render": ["rendering"],
            "task:pay": [],
            "signal:go": [],
            "manual_retry": [],
        }
        for waiting_for, found in expected.items():
            assert ids(client, waiting_for=waiting_for) == found, waiting_for
            assert client.count(waiting_for=waiting_for) == len(found)
        assert ids(client, waiting_for="signal", workflow="split") == ["split"]
        assert ids(client, waiting_for="code", status="stranded") == ["stranded"]
        assert ids(client, waiting_for="code", status="paused") == []
        assert client.count_by("waiting_for") == {
            name: len(found)
            for name, found in expected.items()
            if ":" in name and found
        } | {"unpause": 1}
        blocked.set()


def test_what_failed_is_counted_by_the_error_and_the_node(backend: Backend) -> None:
    client = WorkflowClient(backend)
    for number in range(3):
        run_durable_workflow(failing, f"f{number}", 1, backend)
    run_durable_workflow(Flow("fine").then(same).build(), "fine", 1, backend)
    [group] = client.count_errors()
    assert group == ErrorGroup(error_type="ValueError", error_in="charge", count=3)
    assert ids(client, error_in="charge") == ["f0", "f1", "f2"]
    assert ids(client, error_in="ship") == []
    assert ids(client, error_in="charge", error_type="KeyError") == []
    assert client.count_by("error_type") == {"ValueError": 3, "": 1}
    assert client.count_by("status", error_in="charge") == {"failed": 3}
    with pytest.raises(ValueError, match="expected a group of status, workflow"):
        client.count_by("colour")


def test_an_id_is_found_by_its_beginning_and_by_any_part(backend: Backend) -> None:
    client = WorkflowClient(backend)
    for instance_id in ("order-1", "order-21", "refund-1", "Zoë/order-7"):
        client.submit(approving, instance_id)
    assert ids(client, id_prefix="order-") == ["order-1", "order-21"]
    assert ids(client, id_prefix="order-2") == ["order-21"]
    assert ids(client, id_prefix="rder") == []
    assert ids(client, id_contains="order-") == ["Zoë/order-7", "order-1", "order-21"]
    assert ids(client, id_contains="ë/") == ["Zoë/order-7"]
    assert ids(client, id_prefix="order-", id_contains="21") == ["order-21"]
    assert client.count(id_contains="1") == 3


def test_a_wait_that_is_none_is_refused_with_those_there_are(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with pytest.raises(ValueError, match=f"one of {', '.join(KINDS)}, or .*'godot'"):
        client.list(waiting_for="godot")


def test_an_owner_that_knows_no_waits_is_no_reason_to_cancel_all(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older build reads the criteria that it knows, and would find all."""
    client = WorkflowClient(backend)
    with Worker("old", backend).start([approving]):
        client.submit(approving, "a")
        monkeypatch.setattr(requests, "NEW", ".unheard-of")
        assert ids(client, workflow="approving") == ["a"]
        with pytest.raises(BackendError, match=r"expected a request of .*unheard-of"):
            client.cancel_where(waiting_for="signal:no such")
        assert client.status("a").status == "awaiting_signal"

"""A worker that lacks the code of what it owns says so when it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import Flow, InMemoryBackend, Worker, WorkflowClient
from tests.captured_logs import capture_logs
from tests.client.test_changed_workflows import park, parked, saying, until

if TYPE_CHECKING:
    from tests.captured_logs import Line


def told(lines: list[Line]) -> list[tuple[str, int, list[int]]]:
    return [
        (line["workflow"], line["instances"], line["partitions"])
        for line in lines
        if line["event"] == "worker.instances_stranded"
    ]


def test_one_line_for_each_workflow_with_its_instances_and_partitions() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    other = Flow("bills").wait_for_signal("go").build()
    for number in range(3):
        park(backend, parked("A").build(), f"order-{number}")
    park(backend, other, "bill")
    with Worker("w", backend).start([other, parked("A").build()]):
        client.submit(other, "done", None)
        client.send_signal("done", "go", None)
        client.wait("done", timeout="10s")
    with capture_logs() as lines, Worker("new", backend).start([other]):
        until(lambda: bool(told(lines)))
    assert told(lines) == [("orders", 3, [0])]
    with capture_logs() as lines, Worker("none", backend).start([]):
        until(lambda: len(told(lines)) > 1)
    assert told(lines) == [("bills", 1, [0]), ("orders", 3, [0])]


def test_what_is_stranded_at_a_renamed_task_is_counted() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    park(backend, parked("A").build())
    renamed = Flow("orders").wait_for_signal("go").then(saying("x"), name="charge")
    with Worker("w", backend).start([renamed.build()]):
        client.send_signal("i", "go", None)
        until(lambda: client.count(status="stranded") == 1)
    with capture_logs() as lines, Worker("new", backend).start([renamed.build()]):
        until(lambda: bool(told(lines)))
    assert told(lines) == [("orders", 1, [0])]


def test_a_worker_that_has_all_code_says_nothing() -> None:
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    park(backend, parked("A").build())
    with capture_logs() as lines, Worker("w", backend).start([parked("B").build()]):
        client.submit("orders", "j", None)
        until(lambda: client.status("j").status == "awaiting_signal")
    assert told(lines) == []

"""What clients see of runs that a start queue refuses."""

from __future__ import annotations

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    QueueFullError,
    Worker,
    WorkflowClient,
)


def echo(value: object) -> object:
    return value


def test_a_run_that_is_refused_raises_where_its_end_is_waited_for() -> None:
    flow = Flow("w", max_running=1, queue_length=0).wait_for_signal("go").build()
    backend = InMemoryBackend()
    client = WorkflowClient(backend)
    with Worker("w1", backend).start([flow]):
        client.submit(flow, "first", 1)
        while client.status("first").status != "awaiting_signal":
            pass
        with pytest.raises(QueueFullError) as error:
            client.run(flow, "second", 2, timeout="20s")
        assert str(error.value).startswith("second: expected at most 0 runs of ")
        client.submit(flow, "third", 3)
        third = client.wait("third", timeout="20s")
        assert (third.status, third.error_type) == ("failed", "queue_full")
        client.retry("third")
        assert client.count(waiting_for="start:w") == 1
        assert [one.instance_id for one in client.list(waiting_for="start")] == [
            "third"
        ]
        client.send_signal("first", "go", 1)
        client.send_signal("third", "go", 2)
        assert client.wait("third", timeout="20s").output == 2

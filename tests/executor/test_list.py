"""What `executor list` makes of the reports of owners."""

from __future__ import annotations

from sayiir_es import Executor, Flow, InMemoryBackend, Worker, WorkflowClient, task
from sayiir_es.cli.executor_list import executor_rows

LIMIT_S = 20.0


def test_an_executor_is_listed_with_what_it_runs() -> None:
    @task(execute="remote", tags=["gpu"])
    def paint(value: int) -> int:
        return value

    workflow = Flow[int, int]("w").then(paint).build()
    backend = InMemoryBackend()
    executor = Executor("e", backend, tags=["gpu"], max_concurrent_tasks=3)
    with Worker("w", backend).start([workflow]), executor.start([workflow]) as handle:
        client = WorkflowClient(backend)
        assert client.run(workflow, "i", 7, timeout=LIMIT_S).output == 7
        reports = [one.report for one in client.partitions()]
        assert executor_rows(one for one in reports if one is not None) == [
            {
                "executor": handle.executor_id,
                "state": "ready",
                "held": 0,
                "slots": 3,
                "tags": ["gpu"],
                "tasks": ["w/paint"],
                "owners": 1,
            }
        ]
    backend.close()

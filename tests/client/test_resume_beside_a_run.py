"""Helpers side by side in one process: one owns the log, and runs for the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    WorkflowClient,
    resume_workflow,
    run_durable_workflow,
    task,
)

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 20.0


def test_a_resume_runs_what_a_helper_without_the_code_has_recovered(
    tmp_path: Path,
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    @task
    def wait(value: int) -> int:
        begun.set()
        assert may_end.wait(LIMIT_S)
        return value

    @task
    def double(value: int) -> int:
        return value * 2

    waiting = Flow("waiting").then(wait).build()
    doubling = Flow("doubling").then(double).build()
    path = str(tmp_path / "log.db")
    with EmbeddedBackend(path) as elsewhere:  # its code is not this backend's
        WorkflowClient(elsewhere).submit(doubling, "d", 21)
    with EmbeddedBackend(path) as backend, ThreadPoolExecutor(2) as threads:
        owner = threads.submit(run_durable_workflow, waiting, "w", 1, backend)
        assert begun.wait(LIMIT_S)
        resumed = threads.submit(resume_workflow, doubling, "d", backend)
        try:
            assert resumed.result(LIMIT_S / 2).output == 42
            assert not owner.done()
        finally:
            may_end.set()
        assert owner.result(LIMIT_S).is_completed()

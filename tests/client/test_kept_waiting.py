"""A helper's call whose instance the owner of the log cannot go on with."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sayiir_es import EmbeddedBackend, Flow, Worker, run_durable_workflow
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es import WorkflowStatus

LIMIT_S = 20.0


def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()
other = Flow("other").then(double).build()


def test_it_is_told_what_lacks_and_goes_on_when_the_owner_has_gone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    ended: list[WorkflowStatus] = []

    def run() -> None:
        with EmbeddedBackend(path) as backend:
            ended.append(run_durable_workflow(doubling, "d-1", 21, backend))

    call = threading.Thread(target=run)
    with (
        EmbeddedBackend(path) as backend,
        capture_logs() as lines,
        Worker("w", backend).start([other]),
    ):
        run_durable_workflow(other, "o-1", 1, backend)  # the worker owns the log
        call.start()
        end_s = time.monotonic() + LIMIT_S
        while not (told := [x for x in lines if x["event"] == "instance.kept_waiting"]):
            assert time.monotonic() < end_s
            time.sleep(0.02)
        assert told[0]["instance_id"] == "d-1"
        assert "lacks the code of 'doubling'" in told[0]["reason"]
    call.join(LIMIT_S)
    assert [status.output for status in ended] == [42]

"""`worker run --group-instance-id` on a real Kafka: killed and back; two of one id."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.kafka_apps import made_app
from tests.cli.processes import running

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

pytestmark = pytest.mark.kafka

SESSION_S = 60
WORKER = (
    *("worker", "run", "tests.cli.sample_workflows"),
    *("--group-instance-id", "pod-0", "--session-timeout", f"{SESSION_S}s"),
)


def run_one(terminal: Terminal, instance_id: str) -> None:
    terminal(f"instance start doubling --id {instance_id} --input 4")
    assert terminal(f"instance result {instance_id} --wait").out == "8\n"


def test_a_killed_worker_has_its_partitions_back_before_its_session_is_over(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made_app(terminal, kafka_bootstrap, monkeypatch, partitions=2):
        with running(terminal.cwd / "first", *WORKER) as first:
            first.until("serves")
            run_one(terminal, "a")
            first.end(signal.SIGKILL)
            killed_at_s = time.monotonic()
        with running(terminal.cwd / "second", *WORKER) as second:
            second.until("serves")
            run_one(terminal, "b")
            assert time.monotonic() - killed_at_s < SESSION_S / 2
            assert second.end() == 0
        assert terminal("audit verify").code == 0


def test_of_two_workers_with_one_id_the_earlier_one_ends_and_says_why(
    terminal: Terminal, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        made_app(terminal, kafka_bootstrap, monkeypatch, partitions=2),
        running(terminal.cwd / "first", *WORKER) as first,
    ):
        first.until("serves")
        with running(terminal.cwd / "second", *WORKER) as second:
            assert first.wait() == 1
            assert "worker.displaced" in first.words()
            assert "error group_instance_taken" in first.words()
            assert "'pod-0'" in first.words()
            second.until("serves")
            run_one(terminal, "a")
            assert second.end() == 0

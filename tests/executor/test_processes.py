"""Executor processes on a real Kafka: killed, frozen, and told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient
from sayiir_es.audit.history import history
from tests.executor.remote_flows import NOTES, slow
from tests.executor.served_app import served_app
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import KafkaBackend

pytestmark = pytest.mark.kafka

LIMIT_S = 60.0
SLOTS = 4


@pytest.fixture
def backend(kafka_bootstrap: str, tmp_path: Path) -> Iterator[KafkaBackend]:
    """An app whose tasks executors run."""
    with served_app(kafka_bootstrap, tmp_path, slow) as made:
        yield made


@contextmanager
def executor(
    backend: KafkaBackend, notes: Path, *more: str
) -> Generator[subprocess.Popen[bytes]]:
    """A process of `sayiir-es executor run`, killed at the end if it still runs."""
    line = [sys.executable, "-m", "sayiir_es.cli", "executor", "run"]
    line += ["tests.executor.remote_flows", "--backend", backend.url]
    line += ["--max-concurrent-tasks", str(SLOTS), *more]
    notes.mkdir(exist_ok=True)
    environment = {**os.environ, NOTES: str(notes), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(line, env=environment)  # noqa: S603 - our own command
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begun(notes: Path) -> Counter[tuple[str, str]]:
    """How often each attempt of each instance began, by instance and process."""
    return Counter(
        (line.split()[0], file.name)
        for file in notes.iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
    )


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def begun_by(notes: Path, process: subprocess.Popen[bytes]) -> list[str]:
    """The instances whose task has begun in a process."""
    return [name for name, pid in begun(notes) if pid == str(process.pid)]


def test_told_to_end_it_hands_back_what_has_not_begun(
    backend: KafkaBackend, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    client = WorkflowClient(backend)
    names = [f"i-{number}" for number in range(3 * SLOTS)]
    with executor(backend, notes, "--prefetch", str(SLOTS)) as first:
        for name in names:
            client.submit(slow, name, 1.0)
        until(lambda: len(begun_by(notes, first)) >= SLOTS)
        first.send_signal(signal.SIGTERM)
        with executor(backend, notes):
            for name in names:
                assert client.wait(name, LIMIT_S).output == 1.0
            assert first.wait(LIMIT_S) == 0
    assert all(count == 1 for count in begun(notes).values())
    assert len(begun(notes)) == len(names)


@pytest.mark.long
def test_killed_ones_lose_nothing_and_repeat_what_they_held(
    backend: KafkaBackend, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    client = WorkflowClient(backend)
    names = [f"i-{number}" for number in range(100)]
    kills = 2
    with executor(backend, notes):
        for name in names:
            client.submit(slow, name, 0.2)
        for _ in range(kills):
            with executor(backend, notes) as victim:
                until(lambda: len(begun_by(notes, victim)) >= SLOTS)
                victim.send_signal(signal.SIGKILL)
        for name in names:
            assert client.wait(name, LIMIT_S).output == 0.2
    runs = Counter(name for name, _ in begun(notes).elements())
    assert len(runs) == len(names)
    assert sum(runs.values()) - len(names) <= kills * SLOTS


@pytest.mark.long
def test_the_outcomes_of_a_frozen_one_are_rejected_for_all_to_see(
    backend: KafkaBackend, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    client = WorkflowClient(backend)
    with executor(backend, notes) as frozen:
        client.submit(slow, "i", 1.0)
        until(lambda: begun_by(notes, frozen) == ["i"])
        frozen.send_signal(signal.SIGSTOP)
        with executor(backend, notes) as other:
            assert client.wait("i", LIMIT_S).output == 1.0
            assert begun_by(notes, other) == ["i"]
        frozen.send_signal(signal.SIGCONT)

        def is_rejected() -> bool:
            kinds = [one.event.kind for one in history(backend, "i").events]
            return "OutcomeRejected" in kinds or "CommandRejected" in kinds

        until(is_rejected)
        client.submit(slow, "j", 0.0)  # it is an executor like any other again
        assert client.wait("j", LIMIT_S).output == 0.0

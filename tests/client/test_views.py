"""A client's view of a log in a file: folded once where it is long, and found again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    WorkflowClient,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    send_signal,
    task,
    unpause_workflow,
)
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.client.backends.kept import KEPT_BACKENDS
from sayiir_es.engine.fold import Fold

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Chunk


@task
def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()
waiting = Flow("waiting").wait_for_signal("go").then(double).build()


@pytest.fixture
def chunk_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each chunk had that was folded."""
    counts: list[int] = []
    apply = Fold.apply

    def apply_and_count(fold: Fold, chunk: Chunk) -> None:
        counts.append(len(chunk.records))
        apply(fold, chunk)

    monkeypatch.setattr(Fold, "apply", apply_and_count)
    return counts


def statuses(path: Path) -> dict[str, str]:
    """What a client that is new says of all."""
    with EmbeddedBackend(path) as backend:
        return {
            status.instance_id: str(status.status)
            for status in WorkflowClient(backend).list()
        }


def test_a_short_log_is_folded_in_memory_and_leaves_no_directory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    run_durable_workflow(doubling, "a", 1, backend=f"file:{path}")
    assert statuses(path) == {"a": "completed"}
    assert not list(tmp_path.glob("*.views"))


def test_a_long_log_is_folded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_sizes: list[int]
) -> None:
    monkeypatch.setattr(EmbeddedBackend, "short_view_records", 3)
    path = tmp_path / "log.db"
    for number in range(4):
        run_durable_workflow(doubling, f"i{number}", 1, backend=f"file:{path}")
    KEPT_BACKENDS.close()  # nobody is there then who could be asked
    expected = {f"i{number}": "completed" for number in range(4)}
    assert statuses(path) == expected
    assert list(tmp_path.glob("log.db.views/clients/0/0"))
    chunk_sizes.clear()
    assert statuses(path) == expected
    assert sum(chunk_sizes) == 1, "the last event, to see that it is the view's log"
    run_durable_workflow(doubling, "late", 1, backend=f"file:{path}")
    KEPT_BACKENDS.close()
    assert 0 < sum(chunk_sizes) < 20, "its owner, what came new"
    chunk_sizes.clear()
    assert statuses(path) == expected | {"late": "completed"}
    assert 0 < sum(chunk_sizes) < 20, "what came new"
    chunk_sizes.clear()
    assert statuses(path) == expected | {"late": "completed"}
    assert sum(chunk_sizes) == 1


def test_a_url_is_opened_once_and_closed_when_nobody_uses_it(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    url = f"file:{tmp_path / 'log.db'}"
    run_durable_workflow(waiting, "a", 1, backend=url)
    pause_workflow("a", url)
    unpause_workflow("a", url)
    send_signal("a", "go", 2, url)
    assert resume_workflow(waiting, "a", url).is_completed()
    end_s = time.monotonic() + 20
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end_s
        time.sleep(0.05)

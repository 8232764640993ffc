"""A stream processor by quixstreams counts outcomes, killed in the midst of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.streams.conftest import LIMIT_S
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.streams.conftest import Shop

pytestmark = pytest.mark.kafka

OUTCOMES = {"completed", "failed", "cancelled"}


@contextmanager
def processor(shop: Shop, state: Path) -> Generator[subprocess.Popen[bytes]]:
    """The example, as long as the block lasts."""
    name = "examples.count_outcomes"
    line = (sys.executable, "-m", name, shop.bootstrap, shop.app, str(state))
    with (state.parent / "words").open("ab") as words:
        popen = subprocess.Popen(line, cwd=ROOT, stdout=words, stderr=words)  # noqa: S603 - our own command
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait()


@contextmanager
def outcomes(shop: Shop) -> Generator[Any]:
    """A consumer of the committed counts."""
    consumer: Any = import_module("confluent_kafka").Consumer(  # has no type hints
        {
            "bootstrap.servers": shop.bootstrap,
            "group.id": f"{shop.app}.test",
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 200,
            "allow.auto.create.topics": False,
        }
    )
    consumer.subscribe([f"{shop.app}.outcomes"])
    try:
        yield consumer
    finally:
        consumer.close()


def test_a_processor_that_is_killed_counts_each_outcome_once(
    settled: Shop, tmp_path: Path
) -> None:
    wanted: dict[str, Counter[str]] = {}
    for instance_id, status in settled.statuses.items():
        workflow = instance_id.split("-")[1].replace("asked", "asking")
        if status in OUTCOMES:
            wanted.setdefault(workflow, Counter())[status] += 1
    state = tmp_path / "state"
    seen: dict[str, dict[str, int]] = {}
    totals: list[int] = []
    kills = 0
    end_s = time.monotonic() + LIMIT_S
    with outcomes(settled) as consumer:
        while seen != wanted:
            with processor(settled, state) as running:
                while seen != wanted:
                    words = (tmp_path / "words").read_text()
                    assert running.poll() is None, words
                    assert time.monotonic() < end_s, (seen, words)
                    record: Any = consumer.poll(0.1)
                    if record is None or record.error() is not None:
                        continue
                    workflow = (record.key() or b"").decode()
                    seen[workflow] = json.loads(record.value() or b"")
                    totals.append(sum(seen[workflow].values()))
                    if not kills:
                        running.send_signal(signal.SIGKILL)
                        kills = 1
                        break
    assert kills
    # Each outcome is one count: one that was taken twice would be one more.
    assert len(totals) == sum(sum(counts.values()) for counts in wanted.values())

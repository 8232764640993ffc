"""A stream processor by quixstreams counts outcomes and is killed meanwhile."""

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

    from tests.streams.conftest import SampleApp

pytestmark = pytest.mark.kafka

OUTCOMES = {"completed", "failed", "cancelled"}


@contextmanager
def processor(app: SampleApp, state: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run the example for the length of the block."""
    name = "examples.count_outcomes"
    line = (sys.executable, "-m", name, app.bootstrap, app.name, str(state))
    with (state.parent / "output").open("ab") as output:
        process = subprocess.Popen(line, cwd=ROOT, stdout=output, stderr=output)  # noqa: S603 - our own command
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def outcomes(app: SampleApp) -> Generator[Any]:
    """A consumer of the committed counts."""
    consumer: Any = import_module("confluent_kafka").Consumer(  # has no type hints
        {
            "bootstrap.servers": app.bootstrap,
            "group.id": f"{app.name}.test",
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 200,
            "allow.auto.create.topics": False,
        }
    )
    consumer.subscribe([f"{app.name}.outcomes"])
    try:
        yield consumer
    finally:
        consumer.close()


def test_a_processor_that_is_killed_counts_each_outcome_once(
    sample_app: SampleApp, tmp_path: Path
) -> None:
    expected: dict[str, Counter[str]] = {}
    for instance_id, status in sample_app.statuses.items():
        workflow = instance_id.split("-")[1].replace("asked", "asking")
        if status in OUTCOMES:
            expected.setdefault(workflow, Counter())[status] += 1
    state = tmp_path / "state"
    counts_by_workflow: dict[str, dict[str, int]] = {}
    totals: list[int] = []
    kills = 0
    end_s = time.monotonic() + LIMIT_S
    with outcomes(sample_app) as consumer:
        while counts_by_workflow != expected:
            with processor(sample_app, state) as process:
                while counts_by_workflow != expected:
                    output = (tmp_path / "output").read_text()
                    assert process.poll() is None, output
                    assert time.monotonic() < end_s, (counts_by_workflow, output)
                    record: Any = consumer.poll(0.1)
                    if record is None or record.error() is not None:
                        continue
                    workflow = (record.key() or b"").decode()
                    counts_by_workflow[workflow] = json.loads(record.value() or b"")
                    totals.append(sum(counts_by_workflow[workflow].values()))
                    if not kills:
                        process.send_signal(signal.SIGKILL)
                        kills = 1
                        break
    assert kills
    # Each outcome is one count: an outcome that counted twice would be one more.
    assert len(totals) == sum(sum(counts.values()) for counts in expected.values())

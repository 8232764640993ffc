"""Processes that stand still for half a minute: what they wake with counts no more.

Others ran it meanwhile; that the outcomes of the frozen one are rejected can be seen.
"""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit.history import history
from tests.broker import free_ports
from tests.fleets.fleet import PARTITIONS, until
from tests.fleets.modules import SLOW

if TYPE_CHECKING:
    from tests.fleets.cli_process import CliProcess
    from tests.fleets.fleet import Fleet
    from tests.kafka.reader import EventReader

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(300)]

FROZEN_S = 30.0
COUNT = 8


def begun(fleet: Fleet, process: CliProcess) -> set[str]:
    """The instances whose slow task has begun in a process."""
    file = fleet.folder / f"notes-{process.pid}"
    return set(file.read_text("utf-8").split()) if file.exists() else set()


def kinds(reader: EventReader, name: str, kind: str) -> int:
    """How many events of a kind an instance has."""
    return reader.kinds(name).count(kind)


def test_the_outcomes_of_a_frozen_executor_are_rejected_for_all_to_see(
    fleet: Fleet,
) -> None:
    module = fleet.module("slow", SLOW)
    (port,) = free_ports(1)
    worker = fleet.worker("w", module, "--http", f"127.0.0.1:{port}")
    fleet.until_served(worker)
    frozen = fleet.executor("frozen", module)
    until(lambda: bool(frozen.executor_id))
    names = [f"i{number}" for number in range(COUNT)]
    for name in names:  # half of them have ended when it wakes, half go on
        fleet.submit("far" if name in names[:4] else "far-and-on", name, 1.0)
    until(lambda: begun(fleet, frozen) == set(names))
    frozen.freeze()
    frozen_s = time.monotonic()
    other = fleet.executor("other", module)
    reader = fleet.reader()
    reader.until(lambda: reader.ended.keys() >= set(names[:4]), 60.0)
    assert begun(fleet, other) == set(names)
    time.sleep(max(0.0, frozen_s + FROZEN_S - time.monotonic()))
    assert not any(kinds(reader, name, "OutcomeRejected") for name in names)
    frozen.thaw()
    reader.until(
        lambda: all(kinds(reader, name, "OutcomeRejected") == 1 for name in names), 60.0
    )
    for name in names:
        entries = history(fleet.backend, name).events
        assert "OutcomeRejected" in [one.event.kind for one in entries]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert f'sayiir_events_total{{kind="OutcomeRejected"}} {COUNT}' in text
    (line,) = frozen.until_logged("executor.stalled")
    assert int(str(line["running"])) == COUNT
    fleet.check()


def test_a_frozen_worker_wakes_and_its_outcomes_count_for_nothing(
    fleet: Fleet,
) -> None:
    module = fleet.module("slow", SLOW)
    frozen, other = fleet.worker("frozen", module), fleet.worker("other", module)
    fleet.until_served(frozen, other)
    names = [f"i{number}" for number in range(4 * COUNT)]
    for name in names:
        fleet.submit("near", name, 5.0)
    until(lambda: len(begun(fleet, frozen) | begun(fleet, other)) == len(names))
    held = begun(fleet, frozen)
    frozen.freeze()
    time.sleep(FROZEN_S)
    reader = fleet.finish()
    assert begun(fleet, other) >= held
    frozen.thaw()
    lines = frozen.until_logged("partition.fenced", count=PARTITIONS // 2)
    assert lines
    told = frozen.until_logged("partition.attempts_dropped")
    assert 0 < sum(int(str(line["running"])) for line in told) <= len(held)
    assert all(kinds(reader, name, "TaskCompleted") == 1 for name in names)
    fleet.check()

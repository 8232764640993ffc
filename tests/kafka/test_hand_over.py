"""Workers that join, leave and freeze under load: owners follow each other in order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kafka.load import Load, now_ms
from tests.kafka.load_run import LIMIT_S, finish, read_for
from tests.kafka.pauses import changes, longest_pause, stayed
from tests.kafka.worker_process import SESSION_MS

if TYPE_CHECKING:
    from tests.kafka.live_app import LiveApp
    from tests.kafka.reader import EventReader

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PER_SECOND = 250.0
SETTLE_S = 2.0


def gaps(reader: EventReader, since_ms: int, until_ms: int) -> tuple[int, int]:
    """The longest pause of partitions that changed their owner, and of the others."""
    gaps_ms = changes(reader, since_ms, until_ms)
    pauses_ms = {
        p: longest_pause(reader.partitions[p], since_ms, until_ms)
        for p in stayed(reader, since_ms, until_ms)
    }
    assert len(gaps_ms) == len(reader.partitions) // 2
    print(  # noqa: T201 - the numbers are what is asked for
        f"\nhand-over of {sorted(gaps_ms.values())} ms; "
        f"stayed: {sorted(pauses_ms.values())}"
    )
    return max(gaps_ms.values()), max(pauses_ms.values(), default=0)


def test_a_worker_that_is_asked_to_end_hands_over_without_a_pause(
    live_app: LiveApp,
) -> None:
    _, leaving = live_app.two_workers()
    reader = live_app.reader()
    with Load(live_app.producer(), "chain", per_second=PER_SECOND) as load:
        read_for(reader, SETTLE_S)
        terminated_ms = leaving.terminate()
        read_for(reader, SETTLE_S)
        until = now_ms()
        finish(reader, load)
    gap_ms, pause_ms = gaps(reader, terminated_ms, until - 500)
    assert gap_ms <= 1_000
    assert pause_ms <= 1_000


def test_a_worker_that_joins_is_given_its_share_without_a_pause(
    live_app: LiveApp,
) -> None:
    live_app.lone_worker()
    reader = live_app.reader()
    with Load(live_app.producer(), "chain", per_second=PER_SECOND) as load:
        read_for(reader, SETTLE_S)
        began = now_ms()
        live_app.worker("w2").until_logged("partition.claimed", count=4)
        read_for(reader, SETTLE_S)
        until = now_ms()
        finish(reader, load)
    gap_ms, pause_ms = gaps(reader, began, until - 500)
    assert gap_ms <= 1_000
    assert pause_ms <= 1_000


HELD = 16


def test_what_runs_where_a_worker_joins_ends_there_and_runs_once(
    live_app: LiveApp, tmp_path: Path
) -> None:
    first = live_app.lone_worker()
    reader, producer = live_app.reader(), live_app.producer()
    notes = tmp_path / "held"
    names = {f"held-{number}" for number in range(HELD)}
    for name in names:
        producer.start("held", name, str(notes))
    producer.flush()
    reader.until(
        lambda: notes.exists() and len(notes.read_text().splitlines()) == HELD, LIMIT_S
    )
    second = live_app.worker("w2")
    first.until_logged("partition.revoked", count=4)
    read_for(reader, SESSION_MS / 1000)  # nothing that lapses moves them either
    busy = {
        partition
        for partition, content in reader.partitions.items()
        if any(event.instance_id in names for event in content.valid)
    }
    claimed = {line["partition"] for line in second.logged("partition.claimed")}
    assert busy.isdisjoint(claimed)
    Path(f"{notes}.end").touch()
    second.until_logged("partition.claimed", count=4)
    reader.until(lambda: reader.ended.keys() >= names, LIMIT_S)
    assert {reader.ended[name] for name in names} == {"WorkflowCompleted"}
    assert len(notes.read_text().splitlines()) == HELD
    kinds = [event.kind for event in reader.valid()]
    assert kinds.count("TaskCompleted") == HELD
    assert {"AttemptRestarted", "AttemptWithdrawn"}.isdisjoint(kinds)
    assert first.logged("partition.handover_expired") == []


def test_a_worker_that_slept_three_sessions_disturbs_nothing_when_it_wakes(
    live_app: LiveApp,
) -> None:
    awake, sleeper = live_app.two_workers()
    reader = live_app.reader()
    with Load(live_app.producer(), "chain", per_second=PER_SECOND) as load:
        read_for(reader, SETTLE_S)
        sleeper.freeze()
        read_for(reader, 3 * SESSION_MS / 1000)
        sleeper.thaw()
        sleeper.until_logged("partition.claimed", count=5)
        read_for(reader, SETTLE_S)
        finish(reader, load)
    late = sum(len(content.ignored) for content in reader.partitions.values())
    print(f"\nlate records that were ignored: {late}")  # noqa: T201 - asked for
    # An owner that a late batch had fenced would have claimed again after itself.
    for content in reader.partitions.values():
        owners = [claim.text("owner") for claim in content.claims]
        assert all(a != b for a, b in pairwise(owners)), owners
    for worker in (awake, sleeper):
        assert worker.logged("partition.stopped") == []
        assert worker.logged("partition.crashed") == []

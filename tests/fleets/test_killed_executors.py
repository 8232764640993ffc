"""Ten thousand attempts elsewhere, and one executor after another is killed."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.fleets.fleet import until
from tests.fleets.modules import NO_OP

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleets.fleet import Fleet
    from tests.kafka.reader import EventReader

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(400)]

ATTEMPTS = 10_000
SLOTS = 64
ROUNDS = 4
"""A kill in the midst of each but the last."""

EVERY_S = 10.0
LIMIT_S = 240.0


def begun(notes: Path) -> Counter[str]:
    """How often the attempt of each instance has begun, as the tasks wrote it down."""
    return Counter(
        line
        for file in notes.iterdir()
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    )


def until_begun(notes: Path, count: int) -> None:
    """Wait until so many have begun."""
    until(lambda: sum(begun(notes).values()) >= count, LIMIT_S)


def held_at(reader: EventReader, executor: str, at_ms: int) -> set[str]:
    """The instances whose attempts an executor had at a time, as the log says it."""
    held: set[str] = set()
    for event in reader.valid():
        if event.at > at_ms or not event.instance_id:
            continue
        if event.kind == "AttemptPublished":
            (held.add if event.text("executor") == executor else held.discard)(
                event.instance_id
            )
        elif event.kind == "TaskCompleted":
            held.discard(event.instance_id)
    return held


def test_nothing_is_lost_and_no_more_repeated_than_was_held(
    fleet: Fleet, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    module = fleet.module("no_op", NO_OP)
    worker = fleet.worker("w", module)
    fleet.until_served(worker)
    slots = ("--max-concurrent-tasks", str(SLOTS), "--prefetch", str(SLOTS))
    executors = [
        fleet.executor(f"e{number}", module, *slots, NOTES=str(notes))
        for number in range(2)
    ]
    until(lambda: all(one.executor_id for one in executors))
    kills: list[tuple[str, int]] = []
    due_s = time.monotonic() + EVERY_S
    for number in range(ROUNDS):
        before = sum(begun(notes).values())
        names = [f"i{number}-{n}" for n in range(ATTEMPTS // ROUNDS)]
        fleet.submit_many("no-op", names)
        if number == ROUNDS - 1:
            break
        until_begun(notes, before + 500)
        victim = executors[number % 2]
        name = victim.executor_id
        kills.append((name, victim.kill()))
        victim.start()
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += EVERY_S
    reader = fleet.finish(LIMIT_S)
    assert Counter(reader.ended.values()) == {"WorkflowCompleted": ATTEMPTS}
    runs = begun(notes)
    assert len(runs) == ATTEMPTS
    held = Counter(name for one in kills for name in held_at(reader, *one))
    repeats = Counter({name: count - 1 for name, count in runs.items() if count > 1})
    print(  # noqa: T201 - the numbers are what is asked for
        f"\n{sum(held.values())} held at {len(kills)} kills, "
        f"{sum(repeats.values())} repeated"
    )
    assert held
    assert repeats <= held
    assert all(len(held_at(reader, *one)) <= SLOTS * 3 // 2 for one in kills)
    fleet.check()

"""Reading on while a load runs, and ending the load and checking the topic."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.kafka.verdict import open_commands, violations

if TYPE_CHECKING:
    from tests.kafka.load import Load
    from tests.kafka.reader import EventReader

LIMIT_S = 60.0
ODD = frozenset(
    {"OutcomeRejected", "CommandAcknowledged", "CommandRejected", "AttemptRestarted"}
)


def read_for(reader: EventReader, seconds: float) -> None:
    """Read on for so many seconds."""
    due_s = time.monotonic() + seconds
    reader.until(lambda: time.monotonic() >= due_s, seconds + LIMIT_S)


def finish(reader: EventReader, load: Load, *, at_least: int = 0) -> None:
    """Wait for every instance and every answer, then check the topic."""
    reader.until(lambda: len(load.started) >= at_least, LIMIT_S)
    started = set(load.stop())
    try:
        reader.until(lambda: reader.ended.keys() >= started, LIMIT_S)
    except TimeoutError as error:
        missing = sorted(started - reader.ended.keys())
        raise AssertionError(
            f"{len(missing)} of {len(started)} never ended: {missing[:5]}, the first "
            f"with {reader.kinds(missing[0])}"
        ) from error
    reader.until(lambda: open_commands(reader) == 0, LIMIT_S)
    assert violations(reader) == []
    assert {reader.ended[name] for name in started} == {"WorkflowCompleted"}
    odd = Counter(e.kind for e in reader.valid() if e.kind in ODD)
    print(f"\n{len(started)} instances; {dict(odd)}")  # noqa: T201 - asked for

"""What an owner says of itself that somebody should look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sayiir_es.core.status.limit_report import LimitedAttempt, LimitReport
from sayiir_es.operations.doctor import service
from sayiir_es.operations.doctor.finding import Mark
from sayiir_es.wire.partition_reports import PartitionReport, UndecidedCommand

NOW = 10_000_000


def report(**changes: object) -> PartitionReport:
    fields: dict[str, object] = {
        "partition": 3,
        "owner_id": "w/1",
        "worker_id": "w",
        "build": "1",
        "now": NOW,
        "serving_since": 0,
        "claim": 0,
        "offset": 10,
        "events_end": 10,
        "next_command": 5,
        "commands_end": 5,
    }
    return PartitionReport(**{**fields, **changes})  # type: ignore[arg-type]  # fields


def checks(**changes: object) -> list[tuple[str, Mark]]:
    return [(one.check, one.mark) for one in service.of_report(report(**changes))]


def waiting(ms: int | None) -> tuple[UndecidedCommand, ...]:
    since = None if ms is None else NOW - ms
    return (UndecidedCommand(offset=5, reason="it reads its source", since=since),)


def test_an_owner_that_gets_on_has_no_finding() -> None:
    assert checks() == []


def test_commands_that_wait_for_long_are_told_and_a_burst_is_not() -> None:
    limit_ms = service.COMMANDS_WAIT_MS
    assert checks(undecided=waiting(limit_ms), undecided_count=7) == []
    assert checks(undecided=waiting(None), undecided_count=7) == []
    late = report(undecided=waiting(limit_ms + 1), undecided_count=7)
    [finding] = service.of_report(late)
    assert (finding.check, finding.mark) == ("commands", Mark.BAD)
    assert "partition 3: 7, the first, at offset 5, for 60 s" in finding.finding
    assert "it reads its source" in finding.finding
    assert "'w'" in finding.fix


def test_timers_that_are_late_are_told() -> None:
    limit_ms = service.TIMERS_LATE_MS
    assert checks(timers_due=2, timer_overdue_ms=limit_ms) == []
    assert checks(timers_due=2, timer_overdue_ms=limit_ms + 1) == [("timers", Mark.BAD)]


def queue(waits_since: int | None, **changes: Any) -> LimitReport:
    """A start queue in which one run goes on, and one may wait."""
    run = LimitedAttempt(instance_id="i", path="", since=waits_since or 0)
    waiting = () if waits_since is None else (run,)
    standard = LimitReport(
        key="importing",
        of="runs",
        in_use=1,
        queued=len(waiting),
        max_running=1,
        waiting=waiting,
    )
    return replace(standard, **changes)


@pytest.mark.parametrize(
    ("found", "is_told"),
    [
        (queue(None), False),
        (queue(None, in_use=0), False),
        (queue(NOW - 3_599_000), False),
        (queue(NOW - 3_601_000), True),
        (queue(NOW - 9_000, in_use=0), False),
        (queue(NOW - 11_000, in_use=0), True),
    ],
)
def test_start_queues_are_told_that_stand_still(
    found: LimitReport, *, is_told: bool
) -> None:
    finding = service.of_queues([found], NOW)
    assert finding.mark is (Mark.WARNING if is_told else Mark.GOOD)
    assert bool(finding.fix) == is_told


def test_the_start_queue_in_which_nothing_goes_on_is_named_first() -> None:
    long_wait = queue(NOW - 9_000_000)
    paused = queue(NOW - 20_000, key="p", in_use=0, max_running=0, set_max_running=0)
    finding = service.of_queues([long_wait, paused], NOW)
    assert finding.finding.endswith(
        "though none goes on: 2; at 'p' 1 wait, the first for 20 s, and 0 of 0 go on, "
        "as somebody set it"
    )

"""What an owner says of itself that somebody should look at."""

from __future__ import annotations

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

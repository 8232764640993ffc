"""aiokafka's repeated lines are suppressed by kind, and counted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sayiir_es.log.kafka.log_filter import OncePerKind

if TYPE_CHECKING:
    import pytest


def line(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(
        "aiokafka.conn", logging.ERROR, "f", 1, text, arguments, None
    )


def test_a_kind_passes_once_whatever_it_names() -> None:
    log_filter = OncePerKind(interval_s=60)
    assert log_filter.filter(line("no node %s", 1))
    assert not log_filter.filter(line("no node %s", 2))
    assert log_filter.filter(line("another kind"))


def test_the_next_line_after_the_interval_says_how_many_were_suppressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    log_filter = OncePerKind(interval_s=10)
    assert log_filter.filter(line("no node %s", 1))
    assert not log_filter.filter(line("no node %s", 2))
    now_s = 111.0
    next_line = line("no node %s", 3)
    assert log_filter.filter(next_line)
    assert next_line.getMessage() == "no node 3 (and 1 more like it before)"

"""aiokafka's lines are held back by kind, and counted."""

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
    quiet = OncePerKind(interval_s=60)
    assert quiet.filter(line("no node %s", 1))
    assert not quiet.filter(line("no node %s", 2))
    assert quiet.filter(line("another kind"))


def test_the_next_line_after_the_interval_tells_how_many_were_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    quiet = OncePerKind(interval_s=10)
    assert quiet.filter(line("no node %s", 1))
    assert not quiet.filter(line("no node %s", 2))
    now_s = 111.0
    passed = line("no node %s", 3)
    assert quiet.filter(passed)
    assert passed.getMessage() == "no node 3 (and 1 more like it before)"

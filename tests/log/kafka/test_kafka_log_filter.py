"""aiokafka's repeated lines are suppressed by kind, and counted."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from aiokafka.consumer import group_coordinator

from sayiir_es.log.kafka.log_filter import TRIED_AGAIN, OncePerKind

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


def test_what_a_new_cluster_answers_is_shown_only_if_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    log_filter = OncePerKind(interval_s=10)
    text = "Group Coordinator Request failed: %s"
    assert not log_filter.filter(line(text, "not available"))
    now_s = 102.9
    assert not log_filter.filter(line(text, "not available"))
    now_s = 103.0
    going_on = line(text, "not available")
    assert log_filter.filter(going_on)
    assert going_on.getMessage().endswith("not available (and 2 more like it before)")
    now_s = 104.0
    assert not log_filter.filter(line(text, "not available"))


def test_what_is_tried_again_is_what_the_library_says() -> None:
    source = inspect.getsource(group_coordinator)
    assert all(text in source for text in TRIED_AGAIN)

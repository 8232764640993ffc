"""A view over the events of a real Kafka."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.events import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)
from sayiir_es.projection import SqlView, project

if TYPE_CHECKING:
    from sayiir_es.projection import Cursor, FoundEvent
    from tests.streams.conftest import SampleApp

pytestmark = pytest.mark.kafka


def fold(cursor: Cursor, valid_event: FoundEvent) -> None:
    """Keep the outcome of each run."""
    event = valid_event.event
    match event.body:
        case WorkflowStarted(workflow=workflow):
            row = (event.instance_id, workflow)
            cursor.execute("insert into runs values (?, ?, 'open')", row)
        case WorkflowCompleted() | WorkflowFailed() | WorkflowCancelled():
            outcome = event.kind.removeprefix("Workflow").lower()
            row = (outcome, event.instance_id)
            cursor.execute("update runs set outcome = ? where id = ?", row)
        case _:
            pass


def test_a_view_over_kafka_holds_the_outcome_of_each_instance(
    sample_app: SampleApp,
) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table runs (id primary key, workflow, outcome)")
    ends = ("completed", "failed", "cancelled")
    view = SqlView(connection, "runs")
    assert project(sample_app.url, view, fold, follow=False) > len(sample_app.statuses)
    assert project(sample_app.url, view, fold, follow=False) == 0
    rows = connection.execute("select id, outcome from runs").fetchall()
    assert dict(rows) == {
        name: status if status in ends else "open"
        for name, status in sample_app.statuses.items()
    }

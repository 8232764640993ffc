"""The history of an instance: its snapshot behind any event, and what differs."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, WorkflowClient, run_durable_workflow, send_signal, task
from sayiir_es.audit import Change, History, history
from sayiir_es.client.backends import EmbeddedBackend, InMemoryBackend
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.errors import HoleInHistoryError, NotFoundError
from sayiir_es.core.model.rows import DictRows
from sayiir_es.engine.valid_events import FoundEvent
from tests.audit.instance_logs import events_of
from tests.audit.random_instances import random_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

INSTANCES = 40


@task
def nothing(_: object) -> None:
    return None


@task
def half(number: float) -> float:
    return number / 2


flow = (
    Flow("make_log")
    .then(half)
    .fork()
    .branch(nothing)
    .branch(half, name="b")
    .join(nothing)
)
make_log = flow.wait_for_signal("ok").then(half, name="last").build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A log where `a` waits for its signal, and another instance stands between."""
    opened = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with opened:
        send_signal("a", "early", 1, backend=opened)
        run_durable_workflow(make_log, "a", 8, backend=opened)
        run_durable_workflow(make_log, "b", 9, backend=opened)
        yield opened


def test_the_last_state_is_what_the_client_says(backend: Backend) -> None:
    snapshot = history(backend, "a").state()
    status = WorkflowClient(backend).status("a")
    assert snapshot.status is not None
    assert snapshot.status.status == status.status == "awaiting_signal"
    assert snapshot.signals == {"early": (1,)}
    assert snapshot.values["result:half"] == 4.0


def test_each_event_has_its_state_and_the_differences_add_up(backend: Backend) -> None:
    original = history(backend, "a")
    assert [one.event.sequence for one in original.events] == [
        *range(1, original.last + 1)
    ]
    assert {one.event.instance_id for one in original.events} == {"a"}
    fields: dict[str, object] = {}
    for at in range(1, original.last + 1):
        for change in original.diff(at - 1, at):
            assert change.before == fields.get(change.field)
            assert (change.change == "added") == (change.field not in fields)
            if change.change == "removed":
                del fields[change.field]
            else:
                fields[change.field] = change.after
    assert {one.field: one.after for one in original.diff(0)} == fields


def test_a_result_of_none_is_a_difference(backend: Backend) -> None:
    path = "result:nothing||b/nothing/nothing"
    changes = history(backend, "a").diff(0)
    assert Change(field=f"values.{path}", change="added", before=None, after=None) in (
        changes
    )


def test_before_the_first_event_there_is_nothing(backend: Backend) -> None:
    snapshot = history(backend, "a").state(0)
    assert snapshot.status is None
    assert snapshot.data() == {"cursors": {}, "values": {}, "signals": {}, "routes": {}}


def test_a_missing_sequence_is_reported_with_those_there_are(backend: Backend) -> None:
    with pytest.raises(NotFoundError, match="an instance 'c', but there is none"):
        history(backend, "c")
    original = history(backend, "a")
    for wrong in (-1, original.last + 1):
        with pytest.raises(
            NotFoundError, match=f"a sequence of 0 to {original.last}, but {wrong}"
        ):
            original.state(wrong)


def test_a_missing_event_is_a_hole(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as opened:
        run_durable_workflow(make_log, "a", 8, backend=opened)
    with sqlite3.connect(tmp_path / "log.db") as file:
        file.execute("delete from records where topic = 'events' and offset = 3")
    with EmbeddedBackend(tmp_path / "log.db") as opened:
        original = history(opened, "a")
        assert original.state(2).status is not None
        with pytest.raises(HoleInHistoryError, match="sequence 3 of 'a' at 0@4, but 4"):
            original.state(3)


def test_every_event_of_random_instances_has_a_snapshot_that_is_its_fold() -> None:
    for seed in range(INSTANCES):
        instance = random_instance(seed)
        events = events_of(instance)
        original = History(
            instance_id="i",
            events=tuple(
                FoundEvent(partition=0, offset=offset, event=event)
                for offset, event in enumerate(events)
                if event.instance_id
            ),
            graphs={instance.graph.digest: instance.graph},
        )
        rows = DictRows()
        for one in original.events[:: max(1, len(original.events) // 20)]:
            at = one.event.sequence
            rows = DictRows()
            for event in events:
                if event.sequence and event.sequence <= at:
                    rows.apply(evolve(rows, event))
            assert original.rows(at).rows == rows.rows, (seed, at)
            assert original.state(at).data() is not None, (seed, at)

"""The history of an instance: its snapshot behind any event, and what differs."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, WorkflowClient, run_durable_workflow, send_signal, task
from sayiir_es.audit import Change, History, history
from sayiir_es.client.backends import EmbeddedBackend, InMemoryBackend
from sayiir_es.client.valid_events import FoundEvent
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.errors import HoleInHistoryError, NotFoundError
from sayiir_es.core.model.rows import DictRows
from tests.audit.instance_logs import events_of
from tests.audit.random_instances import lived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

LIVES = 40


@task
def nothing(_: object) -> None:
    return None


@task
def half(number: int) -> float:
    return number / 2


flow = (
    Flow("shop").then(half).fork().branch(nothing).branch(half, name="b").join(nothing)
)
shop = flow.wait_for_signal("ok").then(half, name="last").build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A log where `a` waits for its signal, and another instance stands between."""
    used = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with used:
        send_signal("a", "early", 1, backend=used)
        run_durable_workflow(shop, "a", 8, backend=used)
        run_durable_workflow(shop, "b", 9, backend=used)
        yield used


def test_the_last_state_is_what_the_client_says(backend: Backend) -> None:
    found = history(backend, "a").state()
    status = WorkflowClient(backend).status("a")
    assert found.status is not None
    assert found.status.status == status.status == "awaiting_signal"
    assert found.signals == {"early": (1,)}
    assert found.values["result:half"] == 4.0


def test_each_event_has_its_state_and_the_differences_add_up(backend: Backend) -> None:
    found = history(backend, "a")
    assert [one.event.sequence for one in found.events] == [*range(1, found.last + 1)]
    assert {one.event.instance_id for one in found.events} == {"a"}
    shown: dict[str, object] = {}
    for at in range(1, found.last + 1):
        for change in found.diff(at - 1, at):
            assert change.before == shown.get(change.field)
            assert (change.change == "added") == (change.field not in shown)
            if change.change == "removed":
                del shown[change.field]
            else:
                shown[change.field] = change.after
    assert {one.field: one.after for one in found.diff(0)} == shown


def test_a_result_of_none_is_a_difference(backend: Backend) -> None:
    path = "result:nothing||b/nothing/nothing"
    changes = history(backend, "a").diff(0)
    assert Change(field=f"values.{path}", change="added", before=None, after=None) in (
        changes
    )


def test_before_the_first_event_there_is_nothing(backend: Backend) -> None:
    found = history(backend, "a").state(0)
    assert found.status is None
    assert found.data() == {"cursors": {}, "values": {}, "signals": {}, "routes": {}}


def test_what_is_not_there_is_said_with_what_is(backend: Backend) -> None:
    with pytest.raises(NotFoundError, match="an instance 'c', but there is none"):
        history(backend, "c")
    found = history(backend, "a")
    for wrong in (-1, found.last + 1):
        with pytest.raises(
            NotFoundError, match=f"a sequence of 0 to {found.last}, but {wrong}"
        ):
            found.state(wrong)


def test_a_missing_event_is_a_hole(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as used:
        run_durable_workflow(shop, "a", 8, backend=used)
    with sqlite3.connect(tmp_path / "log.db") as file:
        file.execute("delete from records where topic = 'events' and offset = 3")
    with EmbeddedBackend(tmp_path / "log.db") as used:
        found = history(used, "a")
        assert found.state(2).status is not None
        with pytest.raises(HoleInHistoryError, match="sequence 3 of 'a' at 0@4, but 4"):
            found.state(3)


def test_every_event_of_random_lives_has_a_snapshot_that_is_its_fold() -> None:
    for seed in range(LIVES):
        life = lived(seed)
        events = events_of(life)
        found = History(
            instance_id="i",
            events=tuple(
                FoundEvent(partition=0, offset=offset, event=event)
                for offset, event in enumerate(events)
                if event.instance_id
            ),
            graphs={life.graph.digest: life.graph},
        )
        rows = DictRows()
        for one in found.events[:: max(1, len(found.events) // 20)]:
            at = one.event.sequence
            rows = DictRows()
            for event in events:
                if event.sequence and event.sequence <= at:
                    rows.apply(evolve(rows, event))
            assert found.rows(at).rows == rows.rows, (seed, at)
            assert found.state(at).data() is not None, (seed, at)

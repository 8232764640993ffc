"""A view has each valid event exactly once, whenever its projection was killed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sayiir_es import InMemoryBackend
from sayiir_es.core.model.errors import FencedError, StoreError, UnknownEventError
from sayiir_es.log.port import NewRecord
from sayiir_es.projection import Move, Place, Projection, SqlView, project
from sayiir_es.wire.events import event_headers
from tests.projection.history import STAGES, VALID, append, append_to
from tests.projection.sample_view import TABLE, fold, keep, open_view, read_view
from tests.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.projection import Cursor, FoundEvent

ALL = [(offset, count) for count, offset in enumerate(VALID)]


def test_a_fold_that_is_killed_before_any_statement_has_each_effect_once(
    tmp_path: Path,
) -> None:
    line = (sys.executable, "-m", "tests.projection.kill_folds", str(tmp_path))
    process = subprocess.run(  # noqa: S603 - our own command
        line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert process.returncode == 0, process.stderr
    views = [json.loads(text) for text in process.stdout.splitlines()]
    assert len(views) > 3 * len(VALID)
    for view in views:
        assert [tuple(row) for row in view] == ALL


def test_a_fold_in_one_go_skips_what_displaced_owners_wrote(tmp_path: Path) -> None:
    for stage in range(len(STAGES)):
        append_to(tmp_path / "log", stage)
    fold(tmp_path / "log", tmp_path / "view")
    assert read_view(tmp_path / "view") == ALL
    fold(tmp_path / "log", tmp_path / "view")
    assert read_view(tmp_path / "view") == ALL


def test_what_a_fold_raises_leaves_the_view_as_it_was(tmp_path: Path) -> None:
    append_to(tmp_path / "log", 0)
    connection = open_view(tmp_path / "view")

    def refuse(cursor: Cursor, valid_event: FoundEvent) -> None:
        keep(cursor, valid_event)
        if valid_event.offset == 3:
            raise LookupError("expected a customer, but none")

    view = SqlView(connection, "kept")
    with pytest.raises(LookupError):
        project(f"file:{tmp_path / 'log'}", view, refuse, follow=False)
    assert read_view(tmp_path / "view") == []
    connection.close()
    fold(tmp_path / "log", tmp_path / "view")
    assert read_view(tmp_path / "view") == ALL[:5]


def test_a_process_whose_view_another_has_moved_writes_nothing(tmp_path: Path) -> None:
    append_to(tmp_path / "log", 0)
    fold(tmp_path / "log", tmp_path / "view")
    log_id = sqlite3.connect(tmp_path / "view").execute(
        "select log_id from sayiir_places"
    )
    connection = open_view(tmp_path / "view")
    view = SqlView(connection, "kept")
    view.places(log_id.fetchone()[0])

    def insert(cursor: Cursor) -> None:
        cursor.execute("insert into kept values (5, 5)")

    for before in (Place(), Place(offset=4, claim=0)):
        after = Place(offset=6, claim=0)
        with pytest.raises(FencedError):
            view.write(Move(partition=0, before=before, after=after), insert)
    assert read_view(tmp_path / "view") == ALL[:5]
    connection.close()


def test_a_view_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        append_to(tmp_path / name, 0)
    fold(tmp_path / "one", tmp_path / "view")
    with pytest.raises(StoreError, match="folded from"):
        fold(tmp_path / "other", tmp_path / "view")


def test_a_connection_that_commits_by_itself_is_refused() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(ValueError, match="commits each statement by itself"):
        SqlView(connection, "kept")


async def test_kinds_that_are_not_wanted_only_move_the_place() -> None:
    log = InMemoryBackend().open_log()
    await log.open(create=True)
    for stage in STAGES:
        await append(log, stage)
    connection = sqlite3.connect(":memory:")
    connection.execute(TABLE)
    view = SqlView(connection, "kept")
    projection = Projection(log, view, keep, kinds=["WorkflowCompleted"])
    await projection.run(follow=False)
    assert projection.events == 3
    rows = connection.execute("select place from kept").fetchall()
    assert rows == [(4,), (9,), (21,)]
    place = connection.execute("select next_offset, claim from sayiir_places")
    assert place.fetchall() == [(22, 5)]
    with pytest.raises(ValueError, match="Workflowcompleted"):
        Projection(log, view, keep, kinds=["Workflowcompleted"])


async def test_a_kind_that_this_build_does_not_know_stops_the_projection() -> None:
    log = InMemoryBackend().open_log()
    await log.open(create=True)
    await append(log, STAGES[0])
    appender = await log.appender(0)
    headers = event_headers("OrderPraised", 0)
    unknown = NewRecord(key=b"i", value=b"\xc3\x01" + bytes(9), headers=headers)
    await appender.append([unknown])
    connection = sqlite3.connect(":memory:")
    connection.execute(TABLE)
    view = SqlView(connection, "kept")
    projection = Projection(log, view, keep, kinds=["WorkflowCompleted"])
    with pytest.RaisesGroup(UnknownEventError):
        await projection.run(follow=False)


async def test_a_projection_that_follows_takes_what_is_appended_later() -> None:
    log = InMemoryBackend().open_log()
    await log.open(create=True)
    connection = sqlite3.connect(":memory:")
    connection.execute(TABLE)
    projection = Projection(log, SqlView(connection, "kept"), keep)
    task = asyncio.create_task(projection.run(follow=True))
    for stage in STAGES:
        await append(log, stage)
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while projection.events < len(VALID):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rows = connection.execute("select place, running from kept order by rowid")
    assert rows.fetchall() == ALL

"""A view in which an effect that happened twice is seen twice, and its fold."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sayiir_es.projection import SqlView, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es.projection import Cursor, FoundEvent

TABLE = "create table if not exists kept (place integer, running integer)"


def keep(cursor: Cursor, valid_event: FoundEvent) -> None:
    """Keep the event's offset, and how many were kept before it."""
    cursor.execute("select count(*) from kept")
    (count,) = cursor.fetchall()[0]
    assert isinstance(count, int)
    # Two statements, so that something can happen between them.
    cursor.execute(f"insert into kept values ({valid_event.offset}, 0)")  # noqa: S608 - a number
    cursor.execute(
        f"update kept set running = {count} where place = {valid_event.offset}"  # noqa: S608 - numbers
    )


def open_view(
    file: Path, on_statement: Callable[[str], None] | None = None
) -> sqlite3.Connection:
    """Connect to the view; `on_statement` is called before each statement."""
    connection = sqlite3.connect(file)
    connection.execute(TABLE)
    connection.set_trace_callback(on_statement)
    return connection


def fold(
    log: Path, view: Path, on_statement: Callable[[str], None] | None = None
) -> None:
    """Fold the present content of the log into the view."""
    connection = open_view(view, on_statement)
    project(f"file:{log}", SqlView(connection, "kept"), keep, follow=False)
    connection.close()


def read_view(view: Path) -> list[tuple[int, int]]:
    """Return the view's rows, in order."""
    connection = open_view(view)
    rows = connection.execute("select place, running from kept order by rowid")
    view_rows = rows.fetchall()
    connection.close()
    return view_rows

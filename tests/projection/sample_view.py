"""A view that shows every effect twice if it happened twice, and how to fold it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from sayiir_es.projection import SqlView, project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es.projection import Cursor, FoundEvent

TABLE = "create table if not exists kept (place integer, running integer)"


def keep(cursor: Cursor, found: FoundEvent) -> None:
    """Keep the event's offset, and how many were kept before it."""
    cursor.execute("select count(*) from kept")
    (count,) = cursor.fetchall()[0]
    assert isinstance(count, int)
    # Two statements, so that something can happen between them.
    cursor.execute(f"insert into kept values ({found.offset}, 0)")  # noqa: S608 - a number
    cursor.execute(
        f"update kept set running = {count} where place = {found.offset}"  # noqa: S608 - numbers
    )


def open_view(
    file: Path, on_statement: Callable[[str], None] | None = None
) -> sqlite3.Connection:
    """A connection to the view, which tells of each statement before it happens."""
    connection = sqlite3.connect(file)
    connection.execute(TABLE)
    connection.set_trace_callback(on_statement)
    return connection


def fold(
    log: Path, view: Path, on_statement: Callable[[str], None] | None = None
) -> None:
    """Fold what the log holds now into the view."""
    connection = open_view(view, on_statement)
    project(f"file:{log}", SqlView(connection, "kept"), keep, follow=False)
    connection.close()


def kept(view: Path) -> list[tuple[int, int]]:
    """What the view holds, in order of its rows."""
    connection = open_view(view)
    rows = connection.execute("select place, running from kept order by rowid")
    found = rows.fetchall()
    connection.close()
    return found

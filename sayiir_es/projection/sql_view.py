"""A view in a SQL database, by any DB-API 2.0 connection: SQLite, Postgres, others."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Protocol, TypeVar

from sayiir_es.core.model.errors import FencedError, StoreError
from sayiir_es.projection.view import Move, Place, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MARKERS = {"qmark": "?", "format": "%s", "pyformat": "%s"}
"""How a statement's parameters are marked, by the module's `paramstyle`."""

_TABLE = """
create table if not exists sayiir_places (
    view_name varchar(200) not null,
    partition_number integer not null,
    next_offset bigint not null,
    claim bigint not null,
    log_id varchar(200) not null,
    primary key (view_name, partition_number)
)
"""


class Cursor(Protocol):
    """The part of a DB-API 2.0 cursor that is used here."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, operation: str, parameters: Sequence[object] = ..., /) -> object:
        """Execute one statement."""
        ...

    def fetchall(self) -> Sequence[Sequence[object]]:
        """All rows of the last query."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


C = TypeVar("C", bound=Cursor)
C_co = TypeVar("C_co", bound=Cursor, covariant=True)


class Connection(Protocol[C_co]):
    """The part of a DB-API 2.0 connection that is used here."""

    def cursor(self) -> C_co:
        """A new cursor."""
        ...

    def commit(self) -> None:
        """End the transaction and keep its changes."""
        ...

    def rollback(self) -> None:
        """End the transaction and drop its changes."""
        ...


class SqlView(View[C]):
    """Your tables, and one of ours in the same database, `sayiir_places`.

    A fold gets a cursor in an open transaction; it must neither commit nor roll back.

    Args:
        connection: Used by nobody else meanwhile; must not be in autocommit mode.
        name: Tells this view from others in the same database.

    Raises:
        ValueError: if the connection is in autocommit mode, or its module marks
            parameters in a way that this class does not know.
    """

    def __init__(self, connection: Connection[C], name: str) -> None:
        module = sys.modules[type(connection).__module__.partition(".")[0]]
        style: object = getattr(module, "paramstyle", None)
        marker = _MARKERS.get(str(style))
        if marker is None:
            raise ValueError(f"expected paramstyle of {[*_MARKERS]}, but {style!r}")
        if _commits_by_itself(connection):
            raise ValueError(
                "expected a connection that holds transactions open, but it commits "
                "each statement by itself: open it without autocommit"
            )
        self._connection = connection
        self._name = name
        self._marker = marker
        self._log_id = ""

    def places(self, log_id: str) -> Mapping[int, Place]:
        """Return the places of partitions that were folded before; creates the table.

        Raises:
            StoreError: if the view was folded from another log.
        """
        cursor = self._connection.cursor()
        try:
            cursor.execute(_TABLE)
            self._execute(
                cursor,
                "select partition_number, next_offset, claim, log_id "
                "from sayiir_places where view_name = ?",
                self._name,
            )
            rows = cursor.fetchall()
            self._connection.commit()
        finally:
            cursor.close()
        places: dict[int, Place] = {}
        for partition, offset, claim, stored_log_id in rows:
            if stored_log_id != log_id:
                raise StoreError(
                    f"expected view {self._name!r} to be of log {log_id!r}, but it was "
                    f"folded from {stored_log_id!r}: drop its tables and its rows of "
                    "sayiir_places, or give it another name"
                )
            assert isinstance(partition, int)
            assert isinstance(offset, int)
            assert isinstance(claim, int)
            places[partition] = Place(offset=offset, claim=claim)
        self._log_id = log_id
        return places

    def write(self, move: Move, fold: Callable[[C], None]) -> None:
        """Move on and call `fold` in one transaction.

        Raises:
            FencedError: if the view is not at `move.before`.
        """
        cursor = self._connection.cursor()
        try:
            self._move(cursor, move)  # first: it locks the row, or fails
            fold(cursor)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        finally:
            cursor.close()

    def _move(self, cursor: C, move: Move) -> None:
        before, after = move.before, move.after
        if before == Place():
            self._execute(
                cursor,
                "insert into sayiir_places values (?, ?, ?, ?, ?) "
                "on conflict do nothing",
                *(self._name, move.partition, after.offset, after.claim, self._log_id),
            )
        else:
            self._execute(
                cursor,
                "update sayiir_places set next_offset = ?, claim = ? where "
                "view_name = ? and partition_number = ? and next_offset = ?",
                *(after.offset, after.claim),
                *(self._name, move.partition, before.offset),
            )
        if cursor.rowcount != 1:
            raise FencedError(
                f"expected view {self._name!r} at offset {before.offset} of partition "
                f"{move.partition}, but another process has moved it"
            )

    def _execute(self, cursor: C, statement: str, *values: object) -> None:
        cursor.execute(statement.replace("?", self._marker), values)


def _commits_by_itself(connection: object) -> bool:
    autocommit: object = getattr(connection, "autocommit", None)
    if isinstance(connection, sqlite3.Connection):
        # `autocommit` came with Python 3.12; before it the level alone said so.
        return connection.isolation_level is None and autocommit is not False
    return autocommit is True

"""A view in Postgres: exactly once, on a server of one test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.errors import FencedError
from sayiir_es.projection import Move, Place, SqlView, project
from tests.projection.history import STAGES, VALID, append_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.projection import Cursor, FoundEvent

LIMIT_S = 30.0
INSTALLED = Path("/usr/lib/postgresql")  # where Debian puts its versions


def _server() -> Path | None:
    """Return the folder with `initdb` and `postgres`."""
    initdb = shutil.which("initdb")
    folders = sorted(INSTALLED.glob("*/bin")) if INSTALLED.is_dir() else []
    return Path(initdb).resolve().parent if initdb else folders[-1] if folders else None


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of an empty database without durability, for one module."""
    folder = _server()
    if folder is None:
        pytest.skip("no Postgres: install the package `postgresql` for its server")
    # Not below the folder of the run: that is root's alone, and each run makes it so.
    with tempfile.TemporaryDirectory(prefix="sayiir-postgres-") as name:
        yield from _serve(folder, Path(name))


def _serve(folder: Path, data: Path) -> Iterator[str]:
    user: str | None = None
    if os.geteuid() == 0:  # a server refuses to run as root
        user = "nobody"
        shutil.chown(data, user)
    command = [str(folder / "initdb"), "-D", str(data), "-U", "view", "-A", "trust"]
    command += ["--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=data, user=user)  # noqa: S603 - ours
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [str(folder / "postgres"), "-D", str(data), "-p", port, "-k", str(data)]
    command += ["-c", "fsync=off", "-h", "127.0.0.1"]
    with (data / "output").open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=output, stderr=output, cwd=data, user=user
        )
    address = f"host=127.0.0.1 port={port} user=view dbname=postgres"
    try:
        _until_it_answers(address, server)
        yield address
    finally:
        server.kill()
        server.wait()


def _until_it_answers(address: str, server: subprocess.Popen[bytes]) -> None:
    psycopg: Any = import_module("psycopg")
    end_s = time.monotonic() + LIMIT_S
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert server.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.05)
        else:
            return


def keep(cursor: Cursor, valid_event: FoundEvent) -> None:
    """Keep the event's offset."""
    cursor.execute("insert into kept values (%s)", (valid_event.offset,))


def test_a_view_in_postgres_has_each_effect_once(postgres: str, tmp_path: Path) -> None:
    psycopg: Any = import_module("psycopg")
    connection: Any = psycopg.connect(postgres)
    connection.execute("create table kept (place integer)")
    connection.commit()
    log = f"file:{tmp_path / 'log'}"

    def refuse_late(cursor: Cursor, valid_event: FoundEvent) -> None:
        keep(cursor, valid_event)
        if valid_event.offset in {3, 7, 20}:
            raise LookupError(valid_event.offset)

    for stage in range(len(STAGES)):
        append_to(tmp_path / "log", stage)
        with pytest.raises(LookupError):
            project(log, SqlView(connection, "kept"), refuse_late, follow=False)
        connection.close()
        connection = psycopg.connect(postgres)
        project(log, SqlView(connection, "kept"), keep, follow=False)
    rows = connection.execute("select place from kept order by ctid").fetchall()
    assert [row[0] for row in rows] == VALID
    connection.close()


def test_two_processes_on_one_view_in_postgres_cannot_both_move_it(
    postgres: str,
) -> None:
    psycopg: Any = import_module("psycopg")
    with psycopg.connect(postgres) as one, psycopg.connect(postgres) as other:
        views = [SqlView[Any](connection, "shared") for connection in (one, other)]
        for view in views:
            view.places("log")
        place = Place(offset=5, claim=0)
        first = Move(partition=0, before=Place(), after=place)
        second = Move(partition=0, before=place, after=Place(offset=9, claim=0))
        for move in (first, second):
            views[0].write(move, lambda _: None)
            with pytest.raises(FencedError):
                views[1].write(move, lambda _: None)


def test_a_connection_to_postgres_that_commits_by_itself_is_refused(
    postgres: str,
) -> None:
    psycopg: Any = import_module("psycopg")
    with (
        psycopg.connect(postgres, autocommit=True) as connection,
        pytest.raises(ValueError, match="commits each statement by itself"),
    ):
        SqlView(connection, "kept")

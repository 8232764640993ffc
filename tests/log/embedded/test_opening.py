"""Many processes open a new file at once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.log.embedded import file
from sayiir_es.log.embedded.log import EmbeddedLog

if TYPE_CHECKING:
    import os

    import pytest


def test_many_that_open_a_new_file_at_once_find_one_log(tmp_path: Path) -> None:
    for round_ in range(15):
        path = tmp_path / f"{round_}.db"
        barrier = threading.Barrier(4)
        log_ids: list[str] = []

        def begin(path: Path = path, barrier: threading.Barrier = barrier) -> None:
            async def open_once() -> str:
                log = EmbeddedLog(path)
                try:
                    return (await log.open(create=True)).cluster_id
                finally:
                    await log.close()

            barrier.wait(10)
            log_ids.append(asyncio.run(open_once()))  # noqa: B023 (joined in this round)

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(log_ids) == 4
        assert len(set(log_ids)) == 1


def test_a_file_that_others_are_making_just_now_is_not_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    path.touch()
    stat = Path.stat
    with closing(sqlite3.connect(path)) as other:

        def make_meanwhile(self: Path, **options: bool) -> os.stat_result:
            """Look at a file; behind the first look another process fills the log."""
            monkeypatch.setattr(Path, "stat", stat)
            try:
                return stat(self, **options)
            finally:
                other.execute("PRAGMA journal_mode = WAL")
                other.execute("CREATE TABLE records (value)")

        monkeypatch.setattr(Path, "stat", make_meanwhile)
        assert file._check_size(path) > 0  # pyright: ignore[reportPrivateUsage]
        assert (tmp_path / "log.db-wal").stat().st_size > 0

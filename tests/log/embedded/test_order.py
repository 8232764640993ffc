"""What one process writes to the embedded log lands in order, or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.embedded import file
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.embedded.threads import COMMIT_RECORDS_MAX
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from pathlib import Path

RECORD = NewRecord(key=b"i", value=b"1")


async def test_nothing_lands_after_a_record_that_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    log = EmbeddedLog(path, partitions=1)
    await log.open(create=True)
    await log.close()
    monkeypatch.setattr(file, "BUSY_LIMIT_S", 0.1)
    await log.open(create=False)
    begin = threading.Event()
    commit_thread = log._commit_thread  # pyright: ignore[reportPrivateUsage]
    assert commit_thread is not None
    held = asyncio.ensure_future(commit_thread.call(begin.wait))
    await asyncio.sleep(0)  # all queue up behind that
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # One more than a commit takes: the last record waits for the next commit.
        writes = [
            asyncio.ensure_future(log.produce(Topic.COMMANDS, 0, RECORD))
            for _ in range(COMMIT_RECORDS_MAX + 1)
        ]
        await asyncio.sleep(0)
        begin.set()
        with pytest.raises(LogUnavailableError, match="kept it locked"):
            await writes[0]
    assert await held
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(answer) for answer in answers} == {LogUnavailableError}
    assert await log.produce(Topic.COMMANDS, 0, RECORD) == 0
    await log.close()

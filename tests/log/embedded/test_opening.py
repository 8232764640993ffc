"""Many processes open a new file at once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from sayiir_es.log.embedded.log import EmbeddedLog

if TYPE_CHECKING:
    from pathlib import Path


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

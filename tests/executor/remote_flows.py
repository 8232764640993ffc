"""Workflows whose tasks run in executors only; each notes that it has begun."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sayiir_es import Flow, get_task_context, task

NOTES = "SAYIIR_TEST_NOTES"
"""Names a folder; a task writes a line there, with its process and its attempt."""


def note() -> None:
    folder = os.environ.get(NOTES)
    if folder is not None:
        context = get_task_context()
        line = f"{context.instance_id} {context.attempt}\n"
        with (Path(folder) / str(os.getpid())).open("a", encoding="utf-8") as file:
            file.write(line)


@task(execute="remote")
async def pause(seconds: float) -> float:
    note()
    await asyncio.sleep(seconds)
    return seconds


@task(execute="remote")
def idle(value: int) -> int:
    return value


slow = Flow[float, float]("slow").then(pause).build()
quick = Flow[int, int]("quick").then(idle).build()

"""A module with tasks in processes, for workers of the command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import structlog

from sayiir_es import Flow, task


@task(executor="process")
def waits_for_a_file(directory: str) -> str:
    """Says in which process it runs, and ends when it may."""
    structlog.get_logger("shop").warning("it waits", order=7)
    Path(directory, "pid").write_text(str(os.getpid()))
    while not Path(directory, "go").exists():
        time.sleep(0.01)
    return "done"


waiting = Flow("waiting").then(waits_for_a_file).build()

"""Folds a log, killed before each statement in turn: `python -m … LOG FOLDER`.

Prints the view after each kill and the fold that follows it, one JSON list a line. It
is a separate program because it forks, which a process with threads may not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.projection.history import STAGES, append_to
from tests.projection.sample_view import fold, read_view


def fold_killed_before(statement: int, stage: int, log: Path, view: Path) -> bool:
    """Fold in a child that is killed before a statement; return whether it was."""
    child = os.fork()
    if child == 0:
        executed = 0

        def count(_text: str) -> None:
            nonlocal executed
            executed += 1
            if executed == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            fold(log, view, count)
            os._exit(0)
        finally:
            os._exit(stage + 1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise SystemExit(f"stage {os.WEXITSTATUS(status) - 1} failed")
    return False


def main(folder: Path) -> None:
    """Kill each stage's fold before each of its statements; other stages complete."""
    for stage in range(len(STAGES)):
        statement, was_killed = 0, True
        while was_killed:
            statement += 1
            log = folder / f"{stage}-{statement}.log"
            view = folder / f"{stage}-{statement}.view"
            for number in range(len(STAGES)):
                append_to(log, number)
                if number == stage:
                    was_killed = fold_killed_before(statement, stage, log, view)
                fold(log, view)
            sys.stdout.write(json.dumps(read_view(view)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

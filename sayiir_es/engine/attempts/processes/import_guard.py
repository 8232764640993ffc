"""A program that is imported again must not begin again what it does when it is run.

A process of tasks imports the worker's program under another name. What stands there
beside `if __name__ == "__main__":` runs once more, in each process: a worker that it
starts would start processes in turn.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class _Guard:
    is_importing = False


@contextmanager
def importing() -> Generator[None]:
    """While users' modules are imported for their functions alone."""
    _Guard.is_importing = True
    try:
        yield
    finally:
        _Guard.is_importing = False


def refuse_to_run() -> None:
    """Refuse to begin what only the program itself may begin.

    Raises:
        RuntimeError: if this is a process of tasks that imports its modules.
    """
    if _Guard.is_importing:
        raise RuntimeError(
            "expected a program that can be imported without effect, because a process "
            'for executor="process" imports it for its tasks, but it starts a worker '
            'or runs a workflow: put that under if __name__ == "__main__":'
        )

"""A process of a worker ends when the worker does, however that ended.

On Linux the kernel kills it at once; it must not need the interpreter for that, which
the code of a task may hold. Elsewhere the end of the connection to the worker does.
A child that a task forks is of the same kind. What a task starts as a program of its
own is ended with its process's group, by a worker that lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

CONNECTION_LOST = 83
"""The exit code of a process whose task has closed the connection to the worker."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends; at once, if that is so already."""
    _ask_for_signal()
    os.register_at_fork(after_in_child=_ask_for_signal)
    if os.getppid() != parent:
        end_group()


def end_group() -> None:
    """Kill this process and all that it began."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _ask_for_signal() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

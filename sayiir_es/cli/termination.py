"""SIGTERM ends every command within seconds, whatever it is doing.

Theory of operation. The first process of a container gets no signal that it does not
handle, so SIGTERM is handled from the begin of the process on. The first one ends a
command as Ctrl-C does, and tells one that serves. Python's handlers wait for the main
thread, which may be in the code of a library, or of a user; C writes the number of a
signal to a pipe at once. A thread reads it there, and ends the process where it has not
ended after `LIMIT_S`, and at once at the second signal.

A child of a fork (a task may have one) has the handlers that Python begins with: the
pipe is its parent's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

LIMIT_S = 3.5
"""How long a command may take to end; orchestrators wait for 10 s or more."""

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a command that SIGTERM ended, as shells have it."""


class Termination:
    """What SIGTERM does in this process."""

    def __init__(self) -> None:
        self._pipe: tuple[int, int] | None = None
        self._extra_s = 0.0
        self._tell: Callable[[], object] | None = None
        self.is_requested = False
        """Whether SIGTERM has come."""

    def install(self) -> None:
        """Handle signals from now on; on the main thread of a process of ours."""
        read_fd, write_fd = self._pipe = os.pipe()
        os.set_blocking(write_fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._end)
        os.register_at_fork(after_in_child=self._leave_to_parent)
        threading.Thread(
            target=self._watch, args=(read_fd,), name="sayiir-signals", daemon=True
        ).start()

    def tell(self, tell: Callable[[], object]) -> None:
        """Call `tell` at the first SIGTERM or SIGINT, which then ends nothing itself.

        On the main thread, between any two steps of it. A second signal ends the
        process at once.
        """
        self._tell = tell
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def extend(self, extra_s: float) -> None:
        """Let a command that was told take so much longer, in seconds."""
        self._extra_s = extra_s

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = self.is_requested or number == signal.SIGTERM
        if self._tell is not None:
            self._tell()
            return
        interrupt = signal.getsignal(signal.SIGINT)
        # What asyncio has set there ends the coroutine that it runs.
        is_set = interrupt not in (signal.SIG_IGN, signal.default_int_handler)
        if is_set and callable(interrupt):
            interrupt(signal.SIGINT, frame)
        else:
            raise SystemExit(TERMINATED)

    # --- on the thread ----------------------------------------------------------------

    def _watch(self, read_fd: int) -> None:
        began_s: float | None = None
        while True:
            left_s = None
            if began_s is not None:
                left_s = began_s + LIMIT_S + self._extra_s - time.monotonic()
                if left_s <= 0:
                    _exit_late()
            # Looked at again and again once it has begun: it may be extended.
            wait_s = None if left_s is None else min(left_s, 0.1)
            if not select.select([read_fd], [], [], wait_s)[0]:
                continue
            for number in os.read(read_fd, 64):
                counts = number == signal.SIGTERM or (
                    number == signal.SIGINT and self._tell is not None
                )
                if counts and began_s is not None:
                    os._exit(128 + number)
                if counts:
                    began_s = time.monotonic()

    def _leave_to_parent(self) -> None:
        if self._pipe is not None:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for fd in self._pipe:
                os.close(fd)


def _exit_late() -> None:
    """End a process that has not ended in time."""
    text = (
        f"expected to end within {LIMIT_S:g} s of SIGTERM, but something did not "
        "return (a log that does not answer, or code of yours): ended without it"
    )
    with contextlib.suppress(OSError, ValueError):
        from sayiir_es.cli.environment import (  # noqa: PLC0415 (slow to import)
            is_json_wanted,
            write_json_message,
        )

        if is_json_wanted():
            write_json_message("message.printed", reason=text)
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
    os._exit(TERMINATED)


TERMINATION = Termination()

"""`worker run --reload`: a worker process that begins again when its code changes.

Theory of operation. This process imports nothing of the user's: it starts the worker
as a child, looks at the files, and at a change lets the child drain and starts another.
A child that ends by itself, for its code has an error, has said why; the next one comes
with the next change. The child holds the end of a pipe whose other end only this
process has. When that one is closed, or this process has died, the child drains and
ends: Ctrl-C, which reaches both, is no second signal to it that way.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sayiir_es.cli.output import print_message
from sayiir_es.cli.termination import LIMIT_S, TERMINATION
from sayiir_es.cli.watched_files import WatchedFiles, changed_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.cli.watched_files import Seen

RELOAD, UNTIL_CLOSED = "--reload", "--until-closed"

LOOK_S = 0.3
"""How often the files are looked at, in seconds."""


class Reloader:
    """Runs a worker in a child, again and again, until this process is to end.

    `drain_s` is how long the worker may take to drain; `inherited` are descriptors that
    every child has, too.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        modules: Sequence[str],
        drain_s: float,
        *,
        inherited: Sequence[int] = (),
    ) -> None:
        self._arguments = [one for one in arguments if one != RELOAD]
        self._inherited = inherited
        self._modules = " ".join(modules)
        self._files = WatchedFiles(modules)
        self._limit_s = drain_s + LIMIT_S
        self._is_ended = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; the exit code."""
        TERMINATION.tell(self._end)
        TERMINATION.extend(self._limit_s)
        code = 0
        while not self._is_ended:
            seen = self._settled()
            code, is_changed = self._run_child(seen)
            if is_changed or self._is_ended:
                continue
            if code == 0:
                break  # somebody ended the worker itself
            print_message(
                f"the worker ended with {code}; waits for a change of {self._modules}",
                "yellow",
            )
            self._wait_for_change(seen)
        return code

    def _run_child(self, seen: Seen) -> tuple[int, bool]:
        """Run a worker until it ends; its exit code, and whether a change ended it."""
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "sayiir_es.cli", *self._arguments]
        child = subprocess.Popen(  # noqa: S603 (this program, as it was called)
            [*command, UNTIL_CLOSED, str(read_fd)],
            pass_fds=(read_fd, *self._inherited),
            # Compiled files go by seconds: the second of two edits would be lost.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        os.close(read_fd)
        is_changed = False
        try:
            while child.poll() is None and not self._is_ended:
                time.sleep(LOOK_S)
                names = changed_names(seen, self._files.look())
                if names:
                    is_changed = True
                    print_message(f"changed: {', '.join(names[:5])}", "dim")
                    break
        finally:
            os.close(write_fd)
            code = self._ended(child)
        return code, is_changed

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        """The exit code of a child that was told to end."""
        try:
            return child.wait(self._limit_s)
        except subprocess.TimeoutExpired:
            # It never came to look at the pipe: code of the user's that hangs.
            child.terminate()
        with suppress(subprocess.TimeoutExpired):
            return child.wait(LIMIT_S)
        child.kill()
        return child.wait()

    def _wait_for_change(self, seen: Seen) -> None:
        while not self._is_ended and self._files.look() == seen:
            time.sleep(LOOK_S)

    def _settled(self) -> Seen:
        """The files, once nobody writes them any more: an editor saves several."""
        before, seen = None, self._files.look()
        while before != seen and not self._is_ended:
            time.sleep(LOOK_S / 3)
            before, seen = seen, self._files.look()
        return seen

    def _end(self) -> None:
        self._is_ended = True

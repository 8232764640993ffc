"""Real processes of the command line, which tests start, watch and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0


class Process:
    """A running command and what it wrote so far."""

    def __init__(self, popen: subprocess.Popen[bytes], words: Path) -> None:
        self._popen = popen
        self._words = words

    def words(self) -> str:
        """What it wrote to stdout and stderr."""
        return self._words.read_text(errors="replace")

    def until(self, text: str, *, times: int = 1) -> None:
        """Wait until it has written that, so many times."""
        end_s = time.monotonic() + LIMIT_S
        while self.words().count(text) < times:
            assert self._popen.poll() is None, self.words()
            assert time.monotonic() < end_s, self.words()
            time.sleep(0.02)

    def until_written(self, text: str) -> None:
        """Wait until it, or a process that it has left, has written that."""
        end_s = time.monotonic() + LIMIT_S
        while text not in self.words():
            assert time.monotonic() < end_s, self.words()
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.signal(number)
        return self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self._popen.wait(LIMIT_S)


@contextmanager
def running(
    words: Path,
    *typed: str,
    cwd: Path = ROOT,
    program: str = "sayiir_es.cli",
    python: str = sys.executable,
    **environment: str,
) -> Generator[Process]:
    """Run a command for as long as the block lasts."""
    with words.open("wb") as file:
        popen = subprocess.Popen(  # noqa: S603 - ours
            [python, "-m", program, *typed],
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Process(popen, words)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()

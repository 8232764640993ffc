"""A terminal for tests: runs commands in this process, in an empty directory."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import structlog

from sayiir_es.cli.app import run
from sayiir_es.log.embedded.log import EmbeddedLog

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        """The object on stdout."""
        value: dict[str, object] = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def rows(self) -> list[dict[str, object]]:
        """The objects on stdout, one a line."""
        return [
            CommandResult(code=0, out=line, err="").json()
            for line in self.out.splitlines()
        ]


@contextmanager
def _signals_restored() -> Generator[None]:
    """Give signals back: a command that serves handles them to the end of its process.

    On other threads than the main one it handles none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


class Terminal:
    """Runs commands as typed, without the program's name."""

    def __init__(self, capture: pytest.CaptureFixture[str], cwd: Path) -> None:
        self._capture = capture
        self.cwd = cwd
        self.backend = f"file:{cwd / 'log.db'}"

    def __call__(self, typed: str, *more: str) -> CommandResult:
        """Run what was typed; `more` are arguments as they are."""
        self._capture.readouterr()
        with _signals_restored():
            code = run([*shlex.split(typed), *more])
        printed = self._capture.readouterr()
        return CommandResult(code=code, out=printed.out, err=printed.err)

    def make_log(self) -> None:
        """Make the log of this terminal's backend, as its first worker would."""

        async def make() -> None:
            log = EmbeddedLog(self.cwd / "log.db")
            await log.open(create=True)
            await log.close()

        asyncio.run(make())


@pytest.fixture
def terminal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Terminal]:
    """A terminal in an empty directory, whose backend is a file there."""
    monkeypatch.chdir(tmp_path)
    for name in ("SAYIIR_STATE_DIR", "SAYIIR_LOG_LEVEL", "SAYIIR_LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    # Read at typer's import: a CI that colours its log would colour the help as well.
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", None)
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal(capsys, tmp_path)
    monkeypatch.setenv("SAYIIR_BACKEND", terminal.backend)
    yield terminal
    # Commands send log lines to this test's stderr, which ends here.
    structlog.reset_defaults()
    logging.basicConfig(force=True)

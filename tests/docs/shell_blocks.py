"""Runs the lines of a page's shell blocks: commands of ours, and real `curl`.

A command that ends in `&` is a process beside the page, until the page ends. What the
page calls `http://127.0.0.1:8080` is where the `serve` of the page really listens.
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

import pytest

from sayiir_es.cli.app import run
from sayiir_es.cli.verb_table import PROGRAM
from tests.cli.processes import running
from tests.tree import ROOT

EXIT = re.compile(r"#\sexit\s(\d)$")
ADDRESS = "http://127.0.0.1:8080"
READY = {"worker": "serves", "serve": "pages and API of"}
CURL_LIMIT_S = 30


class Shell:
    """The processes that a page has begun, and where they listen."""

    def __init__(self) -> None:
        self._processes = ExitStack()
        self._address = ADDRESS

    def close(self) -> None:
        """End all processes."""
        self._processes.close()

    def run(self, text: str) -> str:
        """Run all lines of a block; what they printed on stdout."""
        output = io.StringIO()
        with redirect_stdout(output):
            for line in text.replace("\\\n", " ").splitlines():
                self._run_line(line, output)
        return output.getvalue()

    def _run_line(self, line: str, output: io.StringIO) -> None:
        exit_match = EXIT.search(line)
        program, *arguments = shlex.split(line, comments=True)
        if program == "curl":
            output.write(self._curl(arguments))
            return
        assert program == PROGRAM, f"expected {PROGRAM} or curl, but {line}"
        if arguments[-1] == "&":
            self._begin(arguments[:-1])
            return
        code = run(arguments)
        assert code == int(exit_match[1] if exit_match else 0), f"{line}: {code}"

    def _begin(self, arguments: list[str]) -> None:
        more = ["--port", "0"] if arguments[0] == "serve" else []
        words = Path(f"{arguments[0]}.words").absolute()
        command = running(
            words, *arguments, *more, cwd=Path.cwd(), PYTHONPATH=str(ROOT)
        )
        process = self._processes.enter_context(command)
        process.until(READY[arguments[0]])
        found = re.search(r"on (http://127\.0\.0\.1:\d+)", process.words())
        if found is not None:
            self._address = found[1]

    def _curl(self, arguments: list[str]) -> str:
        program = shutil.which("curl")
        if program is None:
            pytest.skip("curl is not installed: the page's examples need it")
        real = [one.replace(ADDRESS, self._address) for one in arguments]
        ended = subprocess.run(  # noqa: S603 (a page of ours)
            [program, *real],
            capture_output=True,
            text=True,
            timeout=CURL_LIMIT_S,
            check=False,
        )
        assert ended.returncode == 0, f"{shlex.join(real)}: {ended.stderr}"
        return ended.stdout.replace("\r", "") + "\n"

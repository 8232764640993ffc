"""Small programs of other people, which tests run as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es import EmbeddedBackend, Flow, run_durable_workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0

SAMPLE = """
from sayiir_es import Flow

def double(number: int) -> int:
    return number * 2

doubling = Flow("doubling").then(double).build()
"""


def run_program(
    source: str,
    cwd: Path,
    *arguments: str,
    environment: Mapping[str, str | None] | None = None,
    code: int = 0,
    limit_s: float = LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder that has `sample.py`; fails if its exit code differs.

    A variable of the environment that is None is left out.
    """
    (cwd / "sample.py").write_text(SAMPLE)
    script = cwd / "program.py"
    script.write_text(textwrap.dedent(source))
    process = subprocess.run(  # noqa: S603 - ours
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env=program_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process


def program_environment(
    changes: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """The environment of this process without our settings, with some changes."""
    environment: dict[str, str | None] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SAYIIR_")
    }
    environment["PYTHONPATH"] = str(ROOT)
    environment |= changes or {}
    return {name: value for name, value in environment.items() if value is not None}


def make_log(folder: Path) -> None:
    """Make the log `log.db`: commands that only read make none."""
    with EmbeddedBackend(folder / "log.db") as backend:
        run_durable_workflow(Flow("made").then(str).build(), "made", 1, backend)


def has_log_open(pid: int) -> bool:
    """Whether a process waits at the log `log.db` for its owner."""
    return any(name.endswith("log.db.wake") for name in files_of(pid))


def files_of(pid: int) -> list[str]:
    """What a process has open: paths, and names such as `socket:[1]`."""
    names: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(link.readlink()))
    return names

"""Runs the tutorial as its reader does: one shell, each command, in order.

What a reader's machine does once is not done again: an environment is made, a broker
started. Everything else runs as it is written, with a port and a broker of the test.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.page_runner import is_like
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ON_KAFKA = "\n## On Kafka\n"
LIMIT_S = 90

DONE_ALREADY = (
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install 'sayiir-es[web]'",
    "docker run --detach --name kafka --publish 127.0.0.1:9092:9092 apache/kafka:4.3.1",
)
"""What these make is there: tests of the wheel and of the compose file hold them."""

END = "== end of block =="


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    return ((kind, block) for kind, block in BLOCK.findall(text))


def _script(text: str, folder: Path) -> tuple[str, list[str]]:
    """One script of all commands, and what each block of them is to print.

    Files that the page has one save are written.
    """
    lines: list[str] = []
    outputs: list[str] = []
    for kind, block in _blocks(text):
        if kind == "python":
            name = block.partition("\n")[0].removeprefix("# ")
            (folder / name).write_text(block)
        elif kind == "sh":
            commands = block.splitlines()
            lines += [one for one in commands if one not in DONE_ALREADY]
            lines.append(f"echo '{END}'")
            outputs.append("")
        else:
            outputs[-1] = block
    return "\n".join(lines), outputs


def _run(script: str, folder: Path) -> list[str]:
    """What each block of a script printed."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "160",
        "NO_COLOR": "1",
        "HOME": str(folder),
    }
    errors = folder / "errors"
    with errors.open("wb") as file:
        shell = subprocess.Popen(  # noqa: S603 - the page's commands
            ["/bin/bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = shell.communicate(timeout=LIMIT_S)
        finally:
            # Workers that the script did not come to stop.
            subprocess.run(  # noqa: S603 - its session
                ["/usr/bin/pkill", "-9", "-s", str(shell.pid)],
                check=False,
            )
    blocks = out.split(f"{END}\n")
    assert blocks.pop() == "", errors.read_text()
    return blocks


def _check(text: str, folder: Path, replaced: dict[str, str]) -> None:
    script, outputs = _script(text, folder)
    for before, after in replaced.items():
        assert before in script
        script = script.replace(before, after)
    printed = _run(script, folder)
    errors = (folder / "errors").read_text()
    assert len(printed) == len(outputs), errors
    for output, expected in zip(printed, outputs, strict=True):
        assert is_like(expected, output), f"expected\n{expected}\nbut\n{output}{errors}"


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_tutorial_does_what_it_says_on_one_machine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = PAGE.partition(ON_KAFKA)[0]
    replaced = {
        "sayiir-es dev shop": f"sayiir-es dev shop --port {port}",
        "127.0.0.1:8080": f"127.0.0.1:{port}",
    }
    _check(text, tmp_path, replaced)
    assert "openapi" in (tmp_path / "openapi.json").read_text()


@pytest.mark.kafka
@pytest.mark.timeout(LIMIT_S * 2)
def test_the_tutorial_does_what_it_says_on_kafka(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("no kcat: install the package `kcat`")
    alone, _, text = PAGE.partition(ON_KAFKA)
    _script(alone, tmp_path)  # writes the files
    app = f"tutorial-{os.getpid()}"
    replaced = {
        "localhost:9092/shop": f"{kafka_bootstrap}/{app}",
        "localhost:9092": kafka_bootstrap,
        "shop.commands": f"{app}.commands",
        "shop.events": f"{app}.events",
    }
    _check(text, tmp_path, replaced)

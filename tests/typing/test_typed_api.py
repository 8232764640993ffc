"""Both type checkers see a wrong join of two steps, and no other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, Workflow
from tests.tree import ROOT
from tests.typing import accepted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER = ROOT / "tests" / "typing"
NAMES = ["accepted.py", "refused.py", "unannotated.py"]


def wrong_lines(name: str) -> set[int]:
    """The lines of a file that say that they are wrong."""
    lines = (FOLDER / name).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# no")}


def refused_by_mypy(_folder: Path) -> dict[str, set[int]]:
    """File → the lines where mypy has an error."""
    done = subprocess.run(  # noqa: S603 (the checker of this environment)
        [
            *(sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty"),
            *("--config-file", str(ROOT / "pyproject.toml")),
            *(f"tests/typing/{name}" for name in NAMES),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, set[int]] = {name: set() for name in NAMES}
    for file, line in re.findall(
        r"^(\S+\.py):(\d+): error:", done.stdout, re.MULTILINE
    ):
        found.setdefault(file.rpartition("/")[2], set()).add(int(line))
    return found


def refused_by_pyright(folder: Path) -> dict[str, set[int]]:
    """File → the lines where pyright has an error."""
    # With settings of its own: those of the project leave out what is wrong on purpose.
    settings = {
        "include": NAMES,
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
    }
    for name in NAMES:
        shutil.copy(FOLDER / name, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(  # noqa: S603 (the checker of this environment)
        [
            *(sys.executable, "-m", "pyright", "--outputjson", "-p", str(folder)),
            *("--pythonpath", sys.executable),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[int]] = {name: set() for name in NAMES}
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(NAMES)
    for one in report["generalDiagnostics"]:
        name = one["file"].rpartition("/")[2]
        if one["severity"] == "error" and name in NAMES:
            found[name].add(one["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("check", [refused_by_mypy, refused_by_pyright])
def test_a_checker_sees_each_wrong_join_and_no_other(
    check: Callable[[Path], dict[str, set[int]]], tmp_path: Path
) -> None:
    wrong = {name: wrong_lines(name) for name in NAMES}
    assert len(wrong["refused.py"]) == 15
    assert check(tmp_path) == wrong


def test_a_parameter_changes_nothing_at_run_time() -> None:
    typed = Flow[accepted.Order]("w").then(accepted.price).build()
    bare = Flow("w").then(accepted.price).build()
    assert typed.definition_hash == bare.definition_hash
    assert type(typed) is Workflow
    assert isinstance(Flow[int, str]("w"), Flow)
    assert len(accepted.several) == 3

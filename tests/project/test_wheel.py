"""The wheel: it has the files that the code reads, and works without the checkout."""

from __future__ import annotations

import json
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.processes import running
from tests.tree import ROOT, files

LIMIT_S = 60

READS_ITS_SCHEMAS = """
import sys
import sayiir_es
from sayiir_es.wire.schema import load_schemas
assert sys.argv[1] in sayiir_es.__file__, sayiir_es.__file__
for kind in ("event", "command", "snapshot"):
    print(len(load_schemas(f"io.sayiir.{kind}.v1")))
from sayiir_es.cli.app import run
assert run(["error", "no_worker"]) == 0
"""


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    process = subprocess.run(  # noqa: S603 - our own command
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from the present tree."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = _uv()
    if uv is not None:
        _run(uv, "build", "--quiet", "--wheel", "--out-dir", folder)
    else:
        pip = (sys.executable, "-m", "pip")
        _run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".")
    (wheel_file,) = folder.glob("*.whl")
    return wheel_file


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_wheel_holds_every_file_that_the_code_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = [n for n in files() if n.startswith("sayiir_es/")]
    schemas = [n for n in files() if n.startswith("schemas/") and n.endswith(".avsc")]
    assert "sayiir_es/py.typed" in package
    assert schemas
    pages = [n for n in files() if n.startswith("docs/errors/")]
    assert pages
    required = {
        *package,
        *(f"sayiir_es/wire/{name}" for name in schemas),
        *(n.replace("docs/errors", "sayiir_es/operations/error_pages") for n in pages),
    }
    assert not required - names
    assert not [n for n in names if n.startswith(("tests/", "docs/", "examples/"))]


def _installed(wheel: Path, home: Path) -> Path:
    """The Python of a new environment that has the wheel."""
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # The dependencies come from the environment of this run, by their path only: its
    # own editable install of the project is not followed from there.
    deps = "\n".join(site.getsitepackages())
    (packages / "dependencies.pth").write_text(deps, encoding="utf-8")
    return python


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_wheel_alone_imports_and_reads_its_schemas(
    wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "clean"
    python = _installed(wheel, home)
    counts = _run(python, "-c", READS_ITS_SCHEMAS, str(home), cwd=tmp_path)
    events = [n for n in files() if n.startswith("schemas/io.sayiir.event.v1.")]
    commands = [n for n in files() if n.startswith("schemas/io.sayiir.command.v1.")]
    page = (ROOT / "docs" / "errors" / "no_worker.md").read_text(encoding="utf-8")
    assert counts == f"{len(events)}\n{len(commands)}\n1\n{page}"


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_wheel_brings_the_command_line(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert b"sayiir-es = sayiir_es.cli.app:main" in archive.read(entry)


@pytest.mark.timeout(LIMIT_S * 2)
def test_the_wheel_alone_serves_the_sample_shop_with_its_pages(
    wheel: Path, tmp_path: Path
) -> None:
    python = _installed(wheel, tmp_path / "clean")
    command = ("dev", "--port", "0", "--file", "sample.db")
    words = tmp_path / "words"
    with running(words, *command, cwd=tmp_path, python=str(python)) as dev:
        dev.until("serves orders, price-watch, refunds")
        match = re.search(r"pages and API: (\S+)", dev.words())
        assert match is not None
        with urlopen(f"{match[1]}/openapi.json", timeout=10) as answer:  # noqa: S310
            assert json.load(answer)["info"]["title"] == "sayiir_es"
        with urlopen(f"{match[1]}/static/pages.css", timeout=10) as answer:  # noqa: S310
            assert answer.status == HTTPStatus.OK
        assert dev.end() == 0

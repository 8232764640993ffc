"""The executors in Go and in TypeScript run the tasks of a workflow in Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from examples.greetings import greetings
from sayiir_es import WorkflowClient
from tests.executor.served_app import served_app
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import KafkaBackend

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LIMIT_S = 60.0
GO_FOLDER = "/usr/local/go/bin"
LINES_MAX = 200


def found(program: str) -> str:
    """A program of the machine; without it the test is skipped."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{GO_FOLDER}")
    if path is None:
        pytest.skip(
            f"no {program}: install it to test the executors in other languages"
        )
    return path


@pytest.fixture(scope="module")
def go_executor(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the executor in Go, built."""
    program = tmp_path_factory.mktemp("go") / "executor"
    line = [found("go"), "build", "-o", str(program), "."]
    subprocess.run(line, check=True, cwd=ROOT / "examples/executor-go")  # noqa: S603 - ours
    return [str(program)]


@pytest.fixture(scope="module")
def typescript_executor(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the executor in TypeScript, built in a folder of its own."""
    node, npm = found("node"), found("npm")
    folder = tmp_path_factory.mktemp("typescript") / "executor"
    shutil.copytree(
        ROOT / "examples/executor-typescript",
        folder,
        ignore=shutil.ignore_patterns("node_modules", "dist"),
    )
    for line in ([npm, "ci", "--no-audit", "--no-fund"], [npm, "run", "build"]):
        subprocess.run(line, check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    return [node, str(folder / "dist/main.js")]


@pytest.fixture
def backend(kafka_bootstrap: str, tmp_path: Path) -> Iterator[KafkaBackend]:
    """An app whose tasks executors run."""
    with served_app(kafka_bootstrap, tmp_path, greetings) as made:
        yield made


@contextmanager
def running(
    command: list[str], backend: KafkaBackend
) -> Generator[subprocess.Popen[bytes]]:
    """A process of an executor, killed at the end if it still runs."""
    broker, app = backend.url.removeprefix("kafka://").split("/")
    options = ["--broker", broker, "--app", app, "--slots", "2"]
    options += ["--schemas", str(ROOT / "schemas")]
    process = subprocess.Popen([*command, *options])  # noqa: S603 - our own command
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("language", ["go", "typescript"])
def test_an_executor_runs_all_tasks_and_ends_when_told(
    language: str, backend: KafkaBackend, request: pytest.FixtureRequest
) -> None:
    command: list[str] = request.getfixturevalue(f"{language}_executor")
    client = WorkflowClient(backend)
    names = [f"i-{number}" for number in range(8)]
    with running(command, backend) as process:
        for name in names:
            client.submit(greetings, name, {"name": name, "seconds": 0.1})
        for name in names:
            assert client.wait(name, LIMIT_S).output == f"HELLO, {name.upper()}!"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


@pytest.mark.long
def test_what_one_language_leaves_another_finishes(
    backend: KafkaBackend, go_executor: list[str], typescript_executor: list[str]
) -> None:
    client = WorkflowClient(backend)
    with running(go_executor, backend) as killed:
        client.submit(greetings, "i", {"name": "Ana", "seconds": 5})
        client.submit(greetings, "j", {"name": "Bo", "seconds": 0})
        assert client.wait("j", LIMIT_S).output == "HELLO, BO!"
        killed.kill()
    with running(typescript_executor, backend):
        assert client.wait("i", LIMIT_S).output == "HELLO, ANA!"


@pytest.mark.parametrize("file", ["executor-go/main.go", "executor-typescript/main.ts"])
def test_each_is_short_enough_to_be_copied(file: str) -> None:
    lines = (ROOT / "examples" / file).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES_MAX

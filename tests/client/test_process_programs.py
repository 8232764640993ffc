"""Tasks in processes as a program of a user has them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    JsonCodec,
    Worker,
    WorkflowClient,
    run_durable_workflow,
    run_workflow,
    task,
)
from sayiir_es.core.model.errors import ResourceError, UsageError
from tests.client import process_workflows as tasks
from tests.wire.sample_codecs import Encrypting

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = textwrap.dedent(
    """
    import os
    from sayiir_es import EmbeddedBackend, Flow, Worker, WorkflowClient, task

    PARENT = os.environ.setdefault("PROGRAM_PROCESS", str(os.getpid()))

    class OddError(ValueError):
        pass

    @task(executor="process")
    def squares(value):
        assert str(os.getpid()) != PARENT
        if value % 2:
            raise OddError("expected an even number")
        return value * value

    odd = lambda problem: problem["error"]["type"]
    squaring = Flow("squaring").attempt(squares).on_error(odd, errors=OddError).build()

    def main():
        with EmbeddedBackend("log.db") as backend:
            with Worker("w", backend, processes=1).start([squaring]):
                client = WorkflowClient(backend)
                print(client.run("squaring", "even", 12, timeout="30s").output)
                print(client.run("squaring", "odd", 3, timeout="30s").output)
    """
)
GUARDED = PROGRAM + '\nif __name__ == "__main__":\n    main()\n'
UNGUARDED = PROGRAM + "\nmain()\n"


def run_program(directory: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a user to its end."""
    return subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, *typed],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("typed", [("program.py",), ("-m", "program")])
def test_tasks_of_the_program_s_own_file(
    tmp_path: Path, typed: tuple[str, ...]
) -> None:
    (tmp_path / "program.py").write_text(GUARDED)
    ended = run_program(tmp_path, *typed)
    assert (ended.returncode, ended.stdout) == (0, "144\nOddError\n"), ended.stderr


def test_a_program_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(UNGUARDED)
    ended = run_program(tmp_path, "program.py")
    assert ended.stdout == "None\nNone\n"
    assert 'if __name__ == "__main__":' in ended.stderr


def test_a_workflow_with_everything_in_processes(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        status = run_durable_workflow(
            tasks.everything, "e", {"amount": 3, "due": "2024-05-01"}, backend
        )
    assert status.error is None
    assert status.output == {"total": 9, "first": {"amount": 3, "year": 2024}}


def test_a_failed_run_is_undone_in_processes(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        status = run_durable_workflow(
            tasks.undone, "u", str(tmp_path / "undone"), backend
        )
    assert status.error == "ValueError: no stock"
    assert (tmp_path / "undone").read_text() == "reserved"


def test_a_time_out_is_judged_and_tried_again(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        began = time.monotonic()
        status = run_durable_workflow(
            tasks.slow_at_first, "t", str(tmp_path / "tries"), backend
        )
    assert status.output == 2
    assert time.monotonic() - began < tasks.LONG_S


def test_without_a_log_it_runs_in_the_program_itself() -> None:
    flow = Flow("here").then(task("here", executor="process")(lambda value: value + 1))
    assert run_workflow(flow.build(), 1) == 2


def test_values_of_a_codec_are_read_in_the_process(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db", codec=tasks.CODEC) as backend:
        status = run_durable_workflow(tasks.doubling, "d", 21, backend)
    assert status.output == 42


def test_a_codec_that_no_process_can_import_is_refused(tmp_path: Path) -> None:
    codec = Encrypting(JsonCodec())
    with (
        EmbeddedBackend(tmp_path / "log.db", codec=codec) as backend,
        pytest.raises(UsageError, match="expected the codec to stand at the top"),
    ):
        Worker("w", backend).start([tasks.doubling])


def test_a_task_that_no_process_can_import_is_refused(tmp_path: Path) -> None:
    @task(executor="process")
    def local(value: object) -> object:
        return value

    with (
        EmbeddedBackend(tmp_path / "log.db") as backend,
        pytest.raises(UsageError, match="at the top level of a module"),
    ):
        Worker("w", backend).start([Flow("local").then(local).build()])


def test_resources_that_no_process_can_make_are_refused(tmp_path: Path) -> None:
    def local() -> dict[str, object]:
        return {"rates": {}}

    with EmbeddedBackend(tmp_path / "log.db") as backend:
        with pytest.raises(UsageError, match="expected on_startup to stand"):
            Worker("w", backend, on_startup=local).start([tasks.converting])
        with pytest.raises(ResourceError, match="rates"):
            Worker("w", backend).start([tasks.converting])


def test_each_process_makes_the_resources(tmp_path: Path) -> None:
    with (
        EmbeddedBackend(tmp_path / "log.db") as backend,
        Worker("w", backend, on_startup=tasks.rates, processes=1).start(
            [tasks.converting]
        ),
    ):
        client = WorkflowClient(backend)
        assert client.run("converting", "c", 10, timeout="30s").output == 9.0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"executor": "thread"}, TypeError, "async 'on_loop', but \"thread\""),
        ({"executor": "moon"}, ValueError, "loop, thread, process, but 'moon'"),
        ({"memory": "1GB"}, ValueError, 'executor="process" where memory is given'),
        ({"executor": "process", "memory": "1 x"}, ValueError, "such as 512MB or 2GiB"),
        ({"executor": "process", "memory": 5}, ValueError, "at least 16 MiB"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    async def on_loop(value: object) -> object:
        return value

    with pytest.raises(error, match=words):
        task(**options)(on_loop)


def test_a_sync_function_is_refused_on_the_loop() -> None:
    with pytest.raises(TypeError, match="expected an async function on the loop"):
        task(executor="loop")(len)


def test_where_a_task_runs_is_no_part_of_the_graph() -> None:
    def same(value: object) -> object:
        return value

    plain = Flow("f").then(same).build()
    moved = Flow("f").then(task(executor="process", memory="1GB")(same)).build()
    assert plain.graph.digest == moved.graph.digest


def test_numbers_of_processes_are_checked() -> None:
    with pytest.raises(ValueError, match="processes of at least 1, but 0"):
        Worker("w", "memory:", processes=0)
    with pytest.raises(ValueError, match="process_memory as bytes"):
        Worker("w", "memory:", process_memory="lots")


def test_retries_of_a_process_that_dies(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        status = run_durable_workflow(
            tasks.dies_at_first, "d", str(tmp_path / "tries"), backend
        )
    assert status.output == 2

"""A client needs no home, no known user and no disk, or it is told what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.library.programs import run_program

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 54_321
"""A user that no system has."""

CLIENT = """
import os, sys, time
from sample import doubling
from sayiir_es import BackendError, KafkaBackend, Worker, WorkflowClient
from sayiir_es import run_durable_workflow

url = sys.argv[1]
backend = KafkaBackend(url.split("/")[2], app=url.split("/")[3])
client = WorkflowClient(backend)
"""

WARM = """
from importlib.metadata import version
version("sayiir-es")  # others may not read what is imported late
run_durable_workflow(doubling, "warm", 1)
run_durable_workflow(doubling, "warm", 1, "file:warm.db")
"""

ENVIRONMENTS: dict[str, tuple[dict[str, str | None], bool]] = {
    "root-folder": ({"HOME": "/proc"}, False),
    "unknown-user": ({"HOME": None}, True),
    "unknown-user-with-home": ({"HOME": "/"}, True),
    "read-only": ({"SAYIIR_STATE_DIR": "/sys/none"}, False),
}

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes others")


@pytest.mark.kafka
@needs_root
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_call_of_a_client_works_on_kafka(
    tmp_path: Path, kafka_bootstrap: str, name: str
) -> None:
    """Without a worker it folds for itself; with one it asks."""
    environment, is_unknown = ENVIRONMENTS[name]
    app = f"home-{name}-{os.getpid()}"
    run_program(
        f"""{CLIENT}{WARM}
client.submit(doubling, "first", 1, ack="log")  # imports what is slow to import
if {is_unknown}:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
status = client.submit(doubling, "a", 1, ack="log")
assert status.status == "submitted", status
assert client.count() == 0
# A helper is a client too: its own worker keeps its state in memory.
assert run_durable_workflow(doubling, "b", 2, backend).output == 4
assert client.status("a").status in {{"completed", "in_progress"}}
assert client.list()
backend.close()
""",
        tmp_path,
        f"kafka://{kafka_bootstrap}/{app}",
        environment=environment,
    )


@pytest.mark.kafka
@needs_root
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_worker_without_a_place_is_told_what_to_set(
    tmp_path: Path, kafka_bootstrap: str, name: str
) -> None:
    environment, is_unknown = ENVIRONMENTS[name]
    process = run_program(
        f"""{CLIENT}{WARM}
from sayiir_es.core.model.errors import StoreError
if {is_unknown}:
    os.setgid({NOBODY})
    os.setuid({NOBODY})
try:
    Worker("w", backend).start([doubling])
except StoreError as error:
    print(error)
""",
        tmp_path,
        f"kafka://{kafka_bootstrap}/home-worker",
        environment=environment,
    )
    assert "SAYIIR_STATE_DIR" in process.stdout, process.stdout


@needs_root
def test_a_file_of_another_user_is_told_of_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to("/tmp"):  # noqa: S108 (where tests write)
            parent.chmod(parent.stat().st_mode | 0o011)
    process = run_program(
        f"""
import os
from sample import doubling
from sayiir_es import EmbeddedBackend, WorkflowClient, WorkflowError
from sayiir_es import run_durable_workflow
with EmbeddedBackend("log.db") as backend:
    run_durable_workflow(doubling, "a", 1, backend)
os.setgid({NOBODY})
os.setuid({NOBODY})
try:
    WorkflowClient("file:log.db").submit(doubling, "b", 1)
except WorkflowError as error:
    print(error)
""",
        tmp_path,
    )
    assert "SAYIIR_FILE_ACCESS" in process.stdout, process.stdout
    assert f"this is user {NOBODY}" in process.stdout, process.stdout


@needs_root
def test_a_file_that_is_open_to_others_serves_them_though_its_stores_are_not(
    tmp_path: Path,
) -> None:
    """An acknowledged start is no error because of the folder of its stores."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent.is_relative_to("/tmp"):  # noqa: S108 (where tests write)
            parent.chmod(parent.stat().st_mode | 0o011)
    process = run_program(
        f"""
import os
from sample import doubling
from sayiir_es import EmbeddedBackend, WorkflowClient, run_durable_workflow
with EmbeddedBackend("log.db") as backend:
    run_durable_workflow(doubling, "a", 1, backend)
from importlib.metadata import version
version("sayiir-es")  # others may not read what is imported late
os.setgid({NOBODY})
os.setuid({NOBODY})
assert run_durable_workflow(doubling, "b", 1, "file:log.db").output == 2
assert WorkflowClient("file:log.db").submit(doubling, "c", 1)
""",
        tmp_path,
        environment={"SAYIIR_FILE_ACCESS": "all"},
    )
    assert "run the workers of one file as one user" in process.stderr

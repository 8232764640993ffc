"""Web workers that gunicorn forks behind the import of an application."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient
from tests.library.programs import LIMIT_S, SAMPLE, program_environment

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION = """
import itertools, os
from sample import doubling
from sayiir_es import EmbeddedBackend, WorkflowClient, run_durable_workflow

client, backend = WorkflowClient("file:log.db"), EmbeddedBackend("log.db")
client.submit(doubling, "preloaded", 1)
run_durable_workflow(doubling, "preloaded-too", 1, backend)
numbers = itertools.count()

def app(environ, start_response):
    number = f"{os.getpid()}-{next(numbers)}"
    client.submit(doubling, f"s-{number}", 1)
    status = run_durable_workflow(doubling, f"r-{number}", 4, backend)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {status.output}".encode()]
"""
REQUESTS = 12


@pytest.mark.parametrize("workers", ["sync", "gthread"])
def test_workers_behind_a_preload_call(tmp_path: Path, workers: str) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    (tmp_path / "application.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = tmp_path / "words"
    with words.open("w") as file:
        server = subprocess.Popen(  # noqa: S603 - ours
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "3"),
                *("--worker-class", workers, "--threads", "2"),
                *("--bind", address, "application:app"),
            ],
            cwd=tmp_path,
            env=program_environment(),
            stdout=file,
            stderr=file,
        )
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(answer, [address] * REQUESTS))
    except urllib.error.HTTPError as error:
        pytest.fail(f"{error}\n{words.read_text()}")
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(LIMIT_S)
    assert code == 0, words.read_text()
    assert {one.split()[1] for one in answers} == {"8"}, words.read_text()
    client = WorkflowClient(f"file:{tmp_path / 'log.db'}")
    assert client.count() == 2 * REQUESTS + 2


def answer(address: str) -> str:
    """The answer of the server, which may have to begin yet."""
    end_s = time.monotonic() + LIMIT_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=LIMIT_S) as got:
                text: str = got.read().decode()
                return text
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < end_s
            time.sleep(0.1)

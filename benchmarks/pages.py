"""How long a browser waits for a page of the list among many instances.

`python benchmarks/pages.py [INSTANCES] [FOLDER]` makes a log in one file with so many
instances (a million when left out), a worker process and `serve` in another, and asks
for pages by HTTP: alone, and while the parts that count look at every instance. A
folder is kept, so that a further run finds its instances there.
"""
# ruff: noqa: INP001, S603  # a program, no package; it starts our own programs

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from search import MANY, fill, parked, say

from sayiir_es import EmbeddedBackend, Worker, WorkflowClient
from sayiir_es.engine.store.rocks.database import WRITE_BUFFER_BYTES, RocksDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ASKED = 11
"""How often each page is asked for."""

STARTED_WITHIN_S = 60

CRITERIA = {
    "no criterion": "",
    "workflow, of all": "workflow=orders",
    "status, of half": "status=awaiting_signal",
    "status, of 0.02%": "status=failed",
    "status, of none": "status=cancelled",
    "stranded, of none": "status=stranded",
    "waiting for, of half": "waiting_for=signal%3Aapproval",
    "waiting for, of none": "waiting_for=delay",
    "error type, of 0.02%": "error_type=TimeoutError",
    "error in, of 0.02%": "error_in=charge",
    "attribute, of one": "attributes=customer%3D7",
    "version, of none": "version=2",
    "text in id, of one": "q=0001234567",
    "until, of half": "until=2023-11-14T22%3A21%3A40Z",
    "since, of few": "since=10m",
    "by last event": "by=updated",
    "failed, by last event": "by=updated&status=failed",
}

COUNTS = {"counts": "/parts/counts", "trouble": "/parts/trouble"}

ALL = "q=o"
"""A criterion that excludes nothing, and that no store counts by: each id has it."""


class Browser:
    """Asks for pages, one after another, over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def get(self, address: str) -> tuple[float, str]:
        """Milliseconds that a page takes, and the page."""
        began = time.perf_counter()
        self._connection.request("GET", address)
        response = self._connection.getresponse()
        text = response.read().decode()
        took_ms = (time.perf_counter() - began) * 1000
        if response.status != http.client.OK:
            raise RuntimeError(f"expected 200 of {address}, but {response.status}")
        return took_ms, text


def make_log(folder: Path, many: int) -> None:
    """A log in one file, and the store of its partition with so many instances."""
    backend = EmbeddedBackend(folder / "log.db")
    with Worker("w", backend).start([parked]):
        WorkflowClient(backend).submit(parked, "first")  # it makes log and store
    backend.close()
    [path] = {one.parent for one in folder.rglob("CURRENT")}
    began = time.perf_counter()
    database = RocksDatabase(path, WRITE_BUFFER_BYTES)
    fill(database, many, parked.graph.digest)
    asyncio.run(database.close())
    say(f"{many} instances in {time.perf_counter() - began:.0f} s")


@contextlib.contextmanager
def program(folder: Path, *arguments: str) -> Generator[None]:
    """Run `sayiir-es` on the log, in a process of its own."""
    command = [sys.executable, "-m", "sayiir_es.cli", *arguments]
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    settings = {
        **os.environ,
        "SAYIIR_BACKEND": f"file:{folder / 'log.db'}",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    with (folder / f"{arguments[0]}.txt").open("w") as output:
        process = subprocess.Popen(command, env=settings, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Ask until something is so.

    Raises:
        TimeoutError: if it takes too long.
    """
    end_s = time.monotonic() + STARTED_WITHIN_S
    while not is_so():
        if time.monotonic() > end_s:
            raise TimeoutError(f"expected that {what} within {STARTED_WITHIN_S} s")
        time.sleep(0.1)


def answers(port: int) -> bool:
    """Whether somebody listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def report(name: str, times: list[float], note: str = "") -> None:
    """Print the middle and the largest of some times."""
    middle = sorted(times)[len(times) // 2]
    say(f"{name:28} {middle:7.1f} ms  at worst {max(times):7.1f} ms{note}")


def measure_pages(browser: Browser) -> None:
    """The first page by each criterion, and the second one of all."""
    for name, query in CRITERIA.items():
        pages = [browser.get(f"/?{query}") for _ in range(ASKED)]
        rows = pages[-1][1].count('<tr id="')
        report(name, [took_ms for took_ms, _ in pages], f"  {rows} rows")
    found = re.search(r"token=([^\"&]+)", browser.get("/")[1])
    assert found is not None, "a page of many has a next one"
    second = f"/?token={quote(found[1], safe='%')}"
    report("second page", [browser.get(second)[0] for _ in range(ASKED)])


def measure_counts(browser: Browser) -> None:
    """Each part that counts, alone: asked what nobody has asked, and again."""
    for address in COUNTS.values():
        browser.get(address)  # the first page has asked for them
    for name, address in COUNTS.items():
        report(f"{name}, of all", [browser.get(address)[0]])
        report(f"{name}, of a workflow", [browser.get(f"{address}?workflow=orders")[0]])
        for which in ("first time", "asked again"):
            report(f"{name}, {ALL}, {which}", [browser.get(f"{address}?{ALL}")[0]])


class Counting:
    """Asks for counts again and again; no answer to another question serves it."""

    def __init__(self, port: int) -> None:
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(port, address))
            for address in COUNTS.values()
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, port: int, address: str) -> None:
        browser = Browser(port)
        for number in itertools.count(time.monotonic_ns() // 1_000_000):
            if self._is_over.is_set():
                return
            browser.get(f"{address}?q=o&until={2_100 + number % 7_000}-01-01T00:00Z")


def measure_starts(client: WorkflowClient, name: str) -> None:
    """How long a start takes, until its owner has decided it."""
    times: list[float] = []
    for _ in range(ASKED):
        began = time.perf_counter()
        client.submit(parked, f"started-{time.time_ns()}")
        times.append((time.perf_counter() - began) * 1000)
    report(name, times)


def measure(folder: Path, port: int) -> None:
    """Ask for everything, once both processes serve."""
    backend = EmbeddedBackend(folder / "log.db")
    client = WorkflowClient(backend)
    wait_until(lambda: client.partitions()[0].is_served, "a worker serves")
    wait_until(lambda: answers(port), "pages are served")
    browser = Browser(port)
    browser.get("/")
    wait_until(
        lambda: json.loads(browser.get("/health/ready")[1]) is not None, "it is ready"
    )
    measure_counts(browser)
    measure_starts(client, "a start")
    measure_pages(browser)
    say("while instances are counted:")
    with Counting(port):
        measure_starts(client, "a start")
        measure_pages(browser)
    backend.close()


def main(many: int, folder: Path) -> None:
    """Make the log, start the processes, ask."""
    if not (folder / "log.db").exists():
        make_log(folder, many)
    port = free_port()
    with (
        program(folder, "worker", "run", "search"),
        program(folder, "serve", "--port", str(port)),
    ):
        measure(folder, port)


if __name__ == "__main__":
    how_many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    if len(sys.argv) > 2:  # noqa: PLR2004
        kept = Path(sys.argv[2])
        kept.mkdir(parents=True, exist_ok=True)
        main(how_many, kept)
    else:
        with tempfile.TemporaryDirectory() as made:
            main(how_many, Path(made))

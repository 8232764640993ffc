"""A real worker in a process of its own, which a test may kill, freeze and restart.

Run as a program it is the worker: `python -m tests.kafka.worker_process NAME …`; other
programs that serve other workflows call `serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kafka.load import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from sayiir_es.core.authoring.workflow import Workflow

SESSION_MS = 1000
HEARTBEAT_MS = 200
END_LIMIT_S = 30.0
_POLL_S = 0.02


class WorkerProcess:
    """A worker by name, with one process after another; a context manager."""

    program = "tests.kafka.worker_process"
    """The module that is the worker."""

    def __init__(
        self, name: str, bootstrap: str, app: str, folder: Path, *more: str
    ) -> None:
        self.name = name
        self.folder = folder
        self.state_dir = folder / f"state-{name}"
        self.log = folder / f"{name}.log"
        self._arguments = [name, bootstrap, app, str(self.state_dir), *more]
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The id of its present process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start a process; returns at once."""
        line = [sys.executable, "-m", self.program, *self._arguments]
        setpriv = shutil.which("setpriv")
        # The signal is tied to the thread that starts the process, not to the program.
        if setpriv and threading.current_thread() is threading.main_thread():
            line = [setpriv, "--pdeathsig", "KILL", *line]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def kill(self) -> int:
        """End it by SIGKILL; the time, in epoch milliseconds."""
        assert self._process is not None
        at_ms = now_ms()
        self._process.kill()
        self._process.wait()
        return at_ms

    def freeze(self) -> int:
        """SIGSTOP; the time, in epoch milliseconds."""
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> int:
        """SIGCONT; the time, in epoch milliseconds."""
        return self._signal(signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM, and wait for its end; returns when the signal was sent."""
        assert self._process is not None
        at_ms = self._signal(signal.SIGTERM)
        code = self._process.wait(END_LIMIT_S)
        assert code == 0, self.tail()
        return at_ms

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        assert self._process is not None
        return self._process.wait(END_LIMIT_S)

    def _signal(self, number: signal.Signals) -> int:
        assert self._process is not None
        at_ms = now_ms()
        self._process.send_signal(number)
        return at_ms

    def lines(self) -> Iterator[dict[str, object]]:
        """The lines that this process has logged, as far as they are JSON."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            for line in log:
                if line.startswith(b"{") and line.endswith(b"\n"):
                    yield json.loads(line)

    def logged(self, event: str) -> list[dict[str, object]]:
        """The lines of one event that this process has logged."""
        return [line for line in self.lines() if line.get("event") == event]

    def until_logged(
        self, event: str, *, count: int = 1, limit_s: float = 30.0
    ) -> list[dict[str, object]]:
        """Wait until it has logged an event so often."""
        end_s = time.monotonic() + limit_s
        while True:
            lines = self.logged(event)
            if len(lines) >= count:
                return lines
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise AssertionError(f"no {count} × {event!r}:\n{self.tail()}")
            time.sleep(_POLL_S)

    def peak_memory_mb(self) -> float:
        """The highest memory use of its present process, in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("expected VmHWM in the status of a process")

    def tail(self) -> str:
        """The end of its log, for failures."""
        return self.log.read_bytes()[-6000:].decode(errors="replace")


def main() -> None:
    """Be the worker until SIGTERM."""
    from tests.kafka import flows  # noqa: PLC0415 - the tests need only the class

    options = arguments().parse_args()
    asyncio.run(serve(options, flows.ALL))


def arguments() -> argparse.ArgumentParser:
    """The arguments that every such program has."""
    parser = argparse.ArgumentParser()
    for name in ("name", "bootstrap", "app", "state_dir"):
        parser.add_argument(name)
    return parser


async def serve(
    options: argparse.Namespace, workflows: Sequence[Workflow], slots: int = 16
) -> None:
    """Be a worker of these workflows until SIGTERM."""
    # Not at the top: the tests need only the class.
    from sayiir_es.client.backends import KafkaBackend  # noqa: PLC0415
    from sayiir_es.client.worker import RunningWorker  # noqa: PLC0415
    from sayiir_es.telemetry import configure_logging  # noqa: PLC0415

    configure_logging(format="json")
    backend = KafkaBackend(
        options.bootstrap,
        app=options.app,
        state_dir=options.state_dir,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = RunningWorker(options.name, backend, slots=slots)
    await worker.start(workflows)
    await stop.wait()
    await worker.stop()
    backend.close()


if __name__ == "__main__":
    main()

"""The cluster of the demo: a log in one file, workers as processes, and a reader."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from sayiir_es.audit.history import read_history
from sayiir_es.audit.verify.verify import verify_log
from sayiir_es.cli.console import stderr_console
from sayiir_es.cli.demo.orders import executions, orders
from sayiir_es.cli.event_lines import event_line
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.client.commands import new_command_id, start_command
from sayiir_es.client.session import Session
from sayiir_es.core.model.commands import SendSignal
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.engine.valid_events import EventFilter, ValidEvents
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from sayiir_es.audit.history import History
    from sayiir_es.audit.verify.verify import Verdict
    from sayiir_es.engine.valid_events import FoundEvent

LIMIT_S = 15.0
"""How long one step of the demo may take before it gives up."""

LOOK_S = 0.02


class DemoCluster:
    """A log and its workers, in one directory."""

    def __init__(self, directory: Path, instance_id: str) -> None:
        self.backend = EmbeddedBackend(directory / "log.db")
        self._directory = directory
        self._instance_id = instance_id
        self._session = Session(self.backend)
        self._workers: list[Process] = []
        self._events: list[FoundEvent] = []
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the log, and watch its events from the first one on.

        Raises:
            UsageError: if the directory holds an earlier demo.
        """
        if self.backend.path.exists():
            raise UsageError(
                f"expected no log at {str(self.backend.path)!r}, but there is one; "
                "choose an empty directory"
            )
        await self._session.open(create=True)
        self._watch = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End the workers and give everything back."""
        for worker in self._workers:
            if worker.returncode is None:
                worker.terminate()
                await worker.wait()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._session.close()
        self.backend.close()

    # --- what it does -----------------------------------------------------------------

    async def start_worker(self, worker_id: str) -> Process:
        """Start a worker process; returns when the log has its claim."""
        output = self._directory / f"worker-{worker_id}.log"
        with output.open("wb") as file:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sayiir_es.cli", "worker", "run"),
                *("sayiir_es.cli.demo.orders", "--worker-id", worker_id),
                *("--backend", self.backend.url),
                env={**os.environ, "SAYIIR_DEMO_DIR": str(self._directory)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._workers.append(worker)
        await self.until("PartitionClaimed", owner=worker_id)
        return worker

    async def kill(self, worker: Process) -> None:
        """Kill a worker by `kill -9`: it cannot clean up."""
        worker.kill()
        await worker.wait()

    async def start_order(self) -> None:
        """Produce the command that starts the order, as any client would."""
        await self._session.submit(
            orders.graph.name,
            start_command(
                orders.graph.name,
                self._instance_id,
                encode_payload({"item": "teapot", "amount": 5}),
                policy="fail",
            ),
        )

    async def approve(self) -> None:
        """Send the signal that the order waits for."""
        await self._session.execute(
            SendSignal(
                instance_id=self._instance_id,
                command_id=new_command_id(),
                signal="approval",
                payload=encode_payload({"by": "ana"}),
                signal_id="mail-81",
            )
        )

    # --- what it reads ----------------------------------------------------------------

    def events(self) -> list[FoundEvent]:
        """Every valid event so far."""
        return self._events

    def history(self) -> list[FoundEvent]:
        """The events of the order."""
        return [
            one for one in self._events if one.event.instance_id == self._instance_id
        ]

    async def read_history(self) -> History:
        """The order's history from the log, as an audit reads it."""
        return await read_history(self._session, self._instance_id)

    async def verify(self) -> Verdict:
        """Check every event of the log by every invariant."""
        return await verify_log(self.backend.open_log())

    def worker_output(self) -> list[str]:
        """The lines that the workers wrote."""
        return [
            line
            for file in sorted(self._directory.glob("worker-*.log"))
            for line in file.read_text(errors="replace").splitlines()
        ]

    async def until(self, kind: str, *, path: str = "", owner: str = "") -> None:
        """Wait for an event of a kind, at a path or by an owner.

        Raises:
            TimeoutError: if it does not come.
        """

        def matches(entry: FoundEvent) -> bool:
            body = entry.event.body
            if isinstance(body, PartitionClaimed) and owner:
                return body.owner.startswith(f"{owner}/")
            return entry.event.kind == kind and path in ("", getattr(body, "path", ""))

        try:
            async with asyncio.timeout(LIMIT_S):
                while not any(map(matches, self._events)):
                    self._check_watch()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise TimeoutError(
                f"expected {kind} within {LIMIT_S:.0f} s, but it did not come"
            ) from error

    async def until_ran(self, task_id: str, times: int) -> None:
        """Wait until the function of a task was called so often.

        Raises:
            TimeoutError: if it was not.
        """
        async with asyncio.timeout(LIMIT_S):
            # Other processes write that file: this one gets no notice of it.
            while len(executions(self._directory, task_id)) < times:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)

    def _check_watch(self) -> None:
        if self._watch is not None and self._watch.done():
            self._watch.result()

    async def _follow(self) -> None:
        events = ValidEvents(self._session.log, 0, 0, EventFilter())
        try:
            while True:
                for entry in await events.read(max_wait_s=1.0):
                    self._events.append(entry)
                    stderr_console().print(
                        "  ", event_line(entry), no_wrap=True, overflow="ellipsis"
                    )
        finally:
            await events.close()

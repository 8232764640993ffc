"""Calls whose log went over to a worker, which then dies: they own it again."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    aio,
    run_durable_workflow,
    task,
)
from sayiir_es.audit import verify
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.log.embedded.lock import SHARE_S, OwnerLock
from tests.captured_logs import capture_logs
from tests.cli.processes import running
from tests.cli.sample_workflows import doubling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Sequence
    from pathlib import Path

    from sayiir_es import Workflow
    from tests.cli.processes import Process

LIMIT_S = 20.0
MOMENT_S = 3.0
"""Within what a call goes on when the worker has gone; alone it would take 30 s."""

HANDOVERS = 3

WORKER_MODULE = """
from pathlib import Path
from sayiir_es import Flow, RetryPolicy, task

@task(name="step", retries=RetryPolicy(max_retries=5))
async def step(value: int) -> int:
    import asyncio
    Path("worker-began").touch()
    await asyncio.Event().wait()

steps = Flow("steps").then(step).build()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[EmbeddedBackend]:
    backend = EmbeddedBackend(path)
    yield backend
    await aio.aclose(backend)
    backend.close()


class Attempts:
    """Attempts of one async task, the first ones of which do not end by themselves."""

    def __init__(self, endless: int) -> None:
        self._endless = endless
        self._begun = 0
        self._changed = asyncio.Event()

    async def run(self, value: int) -> int:
        """What the task does."""
        self._begun += 1
        self._changed.set()
        if self._begun <= self._endless:
            await asyncio.Event().wait()
        return value * 2

    async def until(self, number: int) -> None:
        """Wait until so many have begun."""
        async with asyncio.timeout(LIMIT_S):
            while self._begun < number:
                self._changed.clear()
                await self._changed.wait()

    def workflow(self) -> Workflow:
        """A workflow of that task."""

        @task(name="step")
        async def step(value: int) -> int:
            return await self.run(value)

        return Flow("steps").then(step).build()


async def own_once(path: Path) -> None:
    """Own the log as a worker does that dies before it has decided anything."""
    lock = OwnerLock(path)
    async with asyncio.timeout(LIMIT_S):
        await lock.acquire()
    lock.release()


async def test_a_run_owns_again_however_often_workers_come_and_go(
    backend: EmbeddedBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_DRAIN", "0s")
    attempts = Attempts(HANDOVERS)
    call = asyncio.ensure_future(
        aio.run_durable_workflow(attempts.workflow(), "i", 21, backend)
    )
    for number in range(1, HANDOVERS + 1):
        await attempts.until(number)
        await own_once(path)
    async with asyncio.timeout(MOMENT_S):
        assert (await call).output == 42


async def test_a_worker_that_dies_while_it_waits_for_the_log_is_not_waited_for(
    backend: EmbeddedBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, handing_over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    stop = WorkerEngine.stop

    async def tell_and_stop(engine: WorkerEngine, *, drain: bool = True) -> None:
        handing_over.set()
        await stop(engine, drain=drain)

    monkeypatch.setattr(WorkerEngine, "stop", tell_and_stop)

    @task(name="wait")
    async def wait_for_it(value: int) -> int:
        begun.set()
        await may_end.wait()
        return value

    flow = Flow("two").then(wait_for_it).then(lambda v: v * 2, name="two").build()
    call = asyncio.ensure_future(aio.run_durable_workflow(flow, "i", 21, backend))
    async with asyncio.timeout(LIMIT_S):
        await begun.wait()
        candidate = asyncio.ensure_future(own_once(path))
        await handing_over.wait()
    candidate.cancel()
    await asyncio.gather(candidate, return_exceptions=True)
    may_end.set()
    async with asyncio.timeout(MOMENT_S):
        assert (await call).output == 42


async def test_a_candidacy_that_fails_is_tried_again(
    backend: EmbeddedBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_DRAIN", "0s")
    attempts = Attempts(1)
    call = asyncio.ensure_future(
        aio.run_durable_workflow(attempts.workflow(), "i", 21, backend)
    )
    await attempts.until(1)
    failures = 2
    start = WorkerEngine.start

    async def fail_at_first(engine: WorkerEngine, flows: Sequence[Workflow]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise LogUnavailableError("expected the log, but the disk is away")
        await start(engine, flows)

    with capture_logs() as lines:
        monkeypatch.setattr(WorkerEngine, "start", fail_at_first)
        await own_once(path)
        async with asyncio.timeout(MOMENT_S):
            assert (await call).output == 42
    told = [x["reason"] for x in lines if x["event"] == "owner.candidacy_failed"]
    assert told == ["expected the log, but the disk is away"] * 2


async def test_a_backend_is_closed_while_its_calls_wait_behind_a_worker(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_DRAIN", "0s")
    backend, attempts = EmbeddedBackend(path), Attempts(1)
    call = asyncio.ensure_future(
        aio.run_durable_workflow(attempts.workflow(), "i", 21, backend)
    )
    await attempts.until(1)
    lock = OwnerLock(path)
    async with asyncio.timeout(LIMIT_S):
        await lock.acquire()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await aio.aclose(backend)
    backend.close()
    lock.release()
    await own_once(path)


async def test_a_command_is_decided_when_those_that_owned_and_waited_have_gone(
    backend: EmbeddedBackend, path: Path
) -> None:
    # Two that own and decide nothing, as if killed while they took the log over.
    first, second = OwnerLock(path), OwnerLock(path)
    assert first.try_acquire()
    client = aio.WorkflowClient(backend)
    command = asyncio.ensure_future(client.submit(doubling, "i", 21))
    waits = asyncio.ensure_future(second.acquire())
    async with asyncio.timeout(LIMIT_S):
        await first.wanted()
        await asyncio.wait((command,), timeout=2 * SHARE_S)  # it waits, too
        first.release()
        await waits
        second.release()
    async with asyncio.timeout(MOMENT_S):
        assert (await command).status == "in_progress"


# --- processes ------------------------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


@contextmanager
def worker(folder: Path) -> Generator[Process]:
    """A worker in a process of its own, whose attempts do not end."""
    (folder / "steps_app.py").write_text(WORKER_MODULE)
    typed = ("worker", "run", "steps_app", "--backend", "file:log.db")
    with running(folder / "words", *typed, cwd=folder) as process:
        yield process


def test_a_run_goes_on_in_a_moment_when_its_worker_was_killed(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_DRAIN", "0s")
    begun, ended = threading.Event(), threading.Event()
    outputs: list[object] = []
    is_endless = True

    @task(name="step", retries=5)
    async def step(value: int) -> int:
        begun.set()
        if is_endless:
            await asyncio.Event().wait()
        return value * 2

    def run() -> None:
        flow = Flow("steps").then(step).build()
        with EmbeddedBackend(path) as backend:
            outputs.append(run_durable_workflow(flow, "i", 21, backend).output)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert begun.wait(LIMIT_S)
    for is_last in (False, True):
        (tmp_path / "worker-began").unlink(missing_ok=True)
        with worker(tmp_path) as process:
            until((tmp_path / "worker-began").exists)
            is_endless = not is_last
            begun.clear()
            process.end(signal.SIGKILL)
        assert begun.wait(MOMENT_S)
    assert ended.wait(MOMENT_S)
    assert outputs == [42]
    with EmbeddedBackend(path) as backend:
        assert verify(backend).holds

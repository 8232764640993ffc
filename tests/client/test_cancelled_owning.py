"""A call, or a worker, that is cancelled at any await owns nothing afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es import EmbeddedBackend, aio
from sayiir_es.client.worker import RunningWorker
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.solo import SoloMembership
from tests.cli.sample_workflows import doubling
from tests.engine.cancelling import run_cancelled_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sayiir_es.log.solo import Lock

LIMIT_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[EmbeddedBackend]:
    backend = EmbeddedBackend(path)
    yield backend
    await aio.aclose(backend)
    backend.close()


async def own_once(path: Path) -> None:
    """Own the log as another worker would, and let it go."""
    lock = OwnerLock(path)
    async with asyncio.timeout(LIMIT_S):
        await lock.acquire()
    lock.release()


@pytest.mark.parametrize("gap", [0, 1, 2, 5])
async def test_a_call_that_is_cancelled_at_any_await_lets_go(
    backend: EmbeddedBackend, path: Path, gap: int
) -> None:
    number = 0
    while True:
        number += 1
        call = aio.run_durable_workflow(doubling, f"i-{number}", 21, backend)
        # The second cancel, if there is one, comes while it lets go.
        cancels = await run_cancelled_at(call, *{number, number + gap})
        await own_once(path)
        if not cancels:
            break
    assert number > 5
    status = await aio.run_durable_workflow(doubling, "at-last", 21, backend)
    assert status.output == 42


async def test_a_worker_whose_start_is_cancelled_at_any_await_owns_nothing(
    path: Path,
) -> None:
    number = 0
    while True:
        number += 1
        worker = RunningWorker("w", EmbeddedBackend(path))
        cancels = await run_cancelled_at(worker.start([doubling]), number)
        if not cancels:
            await worker.stop()
            break
        await own_once(path)
        await worker.stop()
    assert number > 3
    await own_once(path)


@pytest.mark.parametrize("gap", [0, 1, 2])
async def test_a_worker_whose_stop_is_cancelled_at_any_await_owns_nothing(
    path: Path, gap: int
) -> None:
    number = 0
    while True:
        number += 1
        worker = RunningWorker("w", EmbeddedBackend(path))
        await worker.start([doubling])
        cancels = await run_cancelled_at(worker.stop(), *{number, number + gap})
        await own_once(path)
        await worker.stop()
        if not cancels:
            break
    assert number > 1


@pytest.fixture(params=["memory", "file"])
def new_lock(request: pytest.FixtureRequest, path: Path) -> Callable[[], Lock]:
    if request.param == "file":
        return lambda: OwnerLock(path)
    return MemoryLog(1).owner_lock


@pytest.mark.parametrize("briefly", [True, False])
async def test_a_candidate_that_is_cancelled_at_any_await_owns_nothing(
    new_lock: Callable[[], Lock], *, briefly: bool
) -> None:
    async def wait_and_leave(member: SoloMembership, holder: Lock) -> None:
        await member.join(briefly=briefly)
        changed = asyncio.ensure_future(member.changed(member.current().epoch))
        await asyncio.sleep(0)
        holder.release()
        await changed
        assert member.current().partitions == {0}
        await member.leave()

    number = 0
    while True:
        number += 1
        holder, member = new_lock(), SoloMembership(new_lock())
        assert holder.try_acquire()
        cancels = await run_cancelled_at(wait_and_leave(member, holder), number)
        holder.release()
        await run_cancelled_at(member.leave(), 1)
        next_lock = new_lock()
        async with asyncio.timeout(LIMIT_S):
            await next_lock.acquire()
        next_lock.release()
        if not cancels:
            break
    assert number > 2


async def test_a_worker_gets_the_log_from_calls_without_a_pause(
    backend: EmbeddedBackend, path: Path
) -> None:
    ended = 0
    many_ended = asyncio.Event()

    async def call_again_and_again(name: str) -> None:
        nonlocal ended
        while True:
            await aio.run_durable_workflow(doubling, f"{name}-{ended}", 1, backend)
            ended += 1
            if ended >= 10:
                many_ended.set()

    callers = [asyncio.create_task(call_again_and_again(f"c{n}")) for n in range(4)]
    async with asyncio.timeout(LIMIT_S):
        await many_ended.wait()
    for _ in range(3):
        await own_once(path)
        many_ended.clear()
        async with asyncio.timeout(LIMIT_S):
            await many_ended.wait()  # the calls go on
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)

"""The public functions as coroutines, on the caller's loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import sayiir_es
from sayiir_es import (
    EmbeddedBackend,
    InMemoryBackend,
    InstanceAlreadyExistsError,
    WorkflowError,
    aio,
)
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend


@pytest.fixture(params=["memory", "file"])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Backend]:
    backend: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    yield backend
    await aio.aclose(backend)
    backend.close()


async def test_an_instance_runs_to_its_end(backend: Backend) -> None:
    status = await aio.run_durable_workflow(doubling, "a", 21, backend)
    assert status.output == 42


async def test_without_a_backend_it_runs_in_memory() -> None:
    assert (await aio.run_durable_workflow(doubling, "a", 4)).output == 8


async def test_a_parked_instance_is_resumed_by_a_signal(backend: Backend) -> None:
    parked = await aio.run_durable_workflow(approving, "a", 1, backend)
    assert parked.is_awaiting_signal()
    await aio.send_signal("a", "go", {"ok": True}, backend)
    assert (await aio.resume_workflow(approving, "a", backend)).output == {"ok": True}
    await aio.send_signal("a", "go", None, backend)  # silent for an ended one


async def test_pause_unpause_and_cancel(backend: Backend) -> None:
    await aio.run_durable_workflow(approving, "a", 1, backend)
    await aio.pause_workflow("a", backend, reason="audit", paused_by="ana")
    assert (await aio.resume_workflow(approving, "a", backend)).is_paused()
    await aio.unpause_workflow("a", backend)
    await aio.cancel_workflow("a", backend, reason="enough", cancelled_by="ana")
    status = await aio.resume_workflow(approving, "a", backend)
    assert (status.status, status.reason) == ("cancelled", "enough")


async def test_a_client_does_what_the_synchronous_one_does(backend: Backend) -> None:
    async with aio.WorkflowClient(backend) as client:
        await client.submit(doubling, "a", 4)
        await client.submit(approving, "b", 4)
        with pytest.raises(InstanceAlreadyExistsError):
            await client.submit("doubling", "a", 4)
        with pytest.raises(TimeoutError):
            await client.wait("a", timeout="50ms")
        await aio.resume_workflow(doubling, "a", backend)
        assert (await client.wait("a", timeout=30)).output == 8
        assert await client.get_task_result("a", "double") == 8
        await client.send_signal("b", "other", 1, signal_id="s")
        await client.pause("b", reason="audit")
        await client.unpause("b")
        await client.cancel("b", reason="enough")
        with pytest.raises(WorkflowError):
            await client.send_signal("b", "go", 1)
        assert (await client.status("b")).is_cancelled()


async def test_many_calls_share_a_loop(tmp_path: Path) -> None:
    async with aio.WorkflowClient(f"file:{tmp_path / 'log.db'}") as client:
        await client.submit(doubling, "first", 0)
        await asyncio.gather(
            *(client.submit("doubling", f"i{n}", n) for n in range(10))
        )
        statuses = await asyncio.gather(*(client.status(f"i{n}") for n in range(10)))
    assert {status.status for status in statuses} == {"in_progress"}


def test_each_loop_has_a_session_of_its_own(tmp_path: Path) -> None:
    async def run(instance_id: str) -> object:
        status = await aio.run_durable_workflow(doubling, instance_id, 4, shared)
        await aio.aclose()
        return status.output

    with EmbeddedBackend(tmp_path / "log.db") as shared:
        assert [asyncio.run(run("a")), asyncio.run(run("b"))] == [8, 8]


def test_every_public_name_is_there() -> None:
    for name in sayiir_es.__all__:
        assert getattr(sayiir_es, name) is not None
    assert set(sayiir_es.__all__) <= set(dir(sayiir_es))
    with pytest.raises(AttributeError, match="nothing"):
        _ = sayiir_es.nothing


def test_importing_the_package_imports_no_kafka_client() -> None:
    script = (
        "import sys, sayiir_es; from sayiir_es import Flow, Worker, KafkaBackend; "
        "assert 'aiokafka' not in sys.modules; assert 'typer' not in sys.modules"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, check=True, timeout=30)  # noqa: S603 - ours

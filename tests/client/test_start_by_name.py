"""A start by a name that somebody publishes a moment later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es import EmbeddedBackend, Flow, InMemoryBackend, Worker, WorkflowError, aio

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.client.backends import Backend


def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return InMemoryBackend()
    return EmbeddedBackend(tmp_path / "log.db")


async def test_it_waits_for_the_worker_that_comes(backend: Backend) -> None:
    async with aio.WorkflowClient(backend) as client:
        starting = asyncio.create_task(client.submit("doubling", "d-1", 21))
        done, _ = await asyncio.wait((starting,), timeout=0.2)
        assert not done, "nobody has published it"
        with Worker("w", backend).start([doubling]):
            assert (await starting).instance_id == "d-1"
            assert (await client.wait("d-1", timeout="20s")).output == 42


async def test_a_name_that_never_comes_is_refused(backend: Backend) -> None:
    async with aio.WorkflowClient(backend) as client:
        with pytest.raises(WorkflowError, match="nobody"):
            await client.submit("nobody", "n-1", 1)

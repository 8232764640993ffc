"""Health and metrics of a projector over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sayiir_es import Flow, InMemoryBackend, aio
from sayiir_es.core.model.errors import HistoryError, UsageError
from sayiir_es.engine.projector import Projector
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.operations import projector_monitor, worker_health
from sayiir_es.operations.projector_monitor import ProjectorMonitor
from sayiir_es.web.projector_http import ProjectorHttp
from sayiir_es.web.settings import WebSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.engine.store.port import SnapshotStore

LIMIT_S = 15
parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_monitor, "PULSE_S", 0.02)
    monkeypatch.setattr(projector_monitor, "LOOK_EVERY_S", 0.02)


async def open_store(partition: int) -> SnapshotStore:  # noqa: ARG001 (as called)
    return MemoryStore()


class Asked:
    """What a projector answers, asked from a thread as others do."""

    def __init__(self, http: ProjectorHttp) -> None:
        self._http = http

    async def get(self, path: str) -> httpx.Response:
        """What stands at a path."""
        address = self._http.address + path
        return await asyncio.to_thread(httpx.get, address, timeout=5)

    async def ready(self) -> dict[str, Any]:
        """What it says of being ready."""
        data: dict[str, Any] = (await self.get("/health/ready")).json()
        return data

    async def values(self) -> dict[str, float]:
        """The samples, each under its name and the values of its labels."""
        text = (await self.get("/metrics")).text
        return {
            ":".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await condition():  # noqa: ASYNC110 (another thread answers)
            await asyncio.sleep(0.02)


async def test_a_projector_is_ready_once_it_follows_the_log() -> None:
    backend = InMemoryBackend()
    http = ProjectorHttp("127.0.0.1:0")
    asked = Asked(http)
    async with (
        aio.WorkflowClient(backend) as client,
        aio.Worker("w", backend, [parked]),
    ):
        await client.submit(parked, "a")
        log = backend.open_log()
        await log.open(create=False)
        projector = Projector(log, open_store)
        await http.begin()
        assert (await asked.get("/health/live")).status_code == 200
        starting = await asked.get("/health/ready")
        assert starting.status_code == 503
        assert starting.json()["problems"][0]["code"] == "starting"
        projector.start([0])
        http.watch(projector, log)

        async def is_ready() -> bool:
            return (await asked.get("/health/ready")).status_code == 200

        await until(is_ready)
        assert (await asked.ready())["partitions"] == {"assigned": [0], "served": [0]}

        values = await asked.values()
        assert values["sayiir_ready"] == 1
        assert values["sayiir_fold_lag:0"] == 0
        await http.close()
        await projector.stop()
        await log.close()


async def test_a_partition_that_has_stopped_is_told() -> None:
    backend = InMemoryBackend()
    http = ProjectorHttp("127.0.0.1:0")
    asked = Asked(http)

    async def refuse(partition: int) -> SnapshotStore:  # noqa: ARG001 (as called)
        raise HistoryError("expected another log, but this one")

    async with aio.WorkflowClient(backend), aio.Worker("w", backend, [parked]):
        log = backend.open_log()
        await log.open(create=False)
        projector = Projector(log, refuse)
        projector.start([0])
        await http.begin()
        http.watch(projector, log)

        async def is_told() -> bool:
            problems = (await asked.ready())["problems"]
            return [one["code"] for one in problems] == ["stopped"]

        await until(is_told)
        [problem] = (await asked.ready())["problems"]
        assert problem["partition"] == 0
        assert "expected another log, but this one" in problem["message"]
        assert (await asked.values())["sayiir_ready"] == 0
        assert (await asked.get("/health/live")).status_code == 200
        await http.close()
        await projector.stop()
        await log.close()


def test_a_fold_that_stands_still_is_not_ready() -> None:
    monitor = ProjectorMonitor()
    one = projector_monitor.FoldedPartition(
        partition=3,
        has_caught_up=True,
        lag=7,
        standing_s=worker_health.STUCK_S + 1,
        problem="",
        store_bytes=None,
    )
    monitor.seen = (one,)
    health = monitor.judge_readiness(monitor.turned_at_s)
    assert [(p.code, p.partition) for p in health.problems] == [("stalled", 3)]
    assert "7 events wait" in health.problems[0].message
    assert health.served == ()
    late = monitor.judge_readiness(monitor.turned_at_s + 60)
    assert late.problems[0].code == "loop_blocked"


async def test_others_reach_it_only_with_a_token() -> None:
    with pytest.raises(UsageError, match="SAYIIR_API_TOKEN_FILE"):
        await ProjectorHttp("0.0.0.0:0", WebSettings()).begin()

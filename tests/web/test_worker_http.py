"""Health and metrics of a worker over HTTP, as Prometheus and orchestrators read them.

A worker owns a log in a file; its tasks run on its event loop, where they can block it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sayiir_es import Flow, Worker, WorkflowClient, aio, task
from sayiir_es.core.model.errors import UsageError
from sayiir_es.operations import worker_health, worker_monitor
from sayiir_es.operations.metrics.catalogue import METRICS, WORKER_METRICS
from sayiir_es.web.health_server import parse_address
from sayiir_es.web.settings import WebSettings
from sayiir_es.web.worker_http import WorkerHttp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric as Parsed

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 (of this test)

blocking = threading.Event()
"""An async task blocks its loop until this is set."""


@task
async def block(number: int) -> int:
    blocking.wait(20)
    return number


@task
def add_one(number: int) -> int:
    return number + 1


@task
def refuse(number: int) -> int:
    raise ValueError(number)


ADDING = Flow("adding").then(add_one).then(add_one).build()
FAILING = Flow("failing").then(refuse).build()
BLOCKING = Flow("blocking").then(block).build()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    blocking.clear()
    monkeypatch.setattr(worker_monitor, "PULSE_S", 0.02)
    monkeypatch.setattr(worker_monitor, "ENDS_EVERY_S", 0.02)
    monkeypatch.setattr(worker_health, "LOOP_AGE_MAX_S", 0.5)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file:{tmp_path / 'log.db'}"


def get(http: WorkerHttp, path: str, **headers: str) -> httpx.Response:
    return httpx.get(http.address + path, headers=headers, timeout=5)


def wait_for(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end_s
        threading.Event().wait(0.02)


def families(http: WorkerHttp) -> dict[str, Parsed]:
    response = get(http, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    parsed = text_string_to_metric_families(response.text)
    return {family.name: family for family in parsed}


def value(http: WorkerHttp, sample: str, **labels: str) -> float | None:
    for family in families(http).values():
        for one in family.samples:
            if one.name == sample and one.labels == labels:
                return one.value
    return None


def test_metrics_are_what_the_catalogue_says(url: str) -> None:
    http = WorkerHttp("127.0.0.1:0")
    with Worker("w1", url, observer=http).start([ADDING, FAILING]):
        client = WorkflowClient(url)
        client.run(ADDING, "a", 1)
        client.submit(FAILING, "f", 1)
        client.wait("f")
        wait_for(lambda: value(http, "sayiir_instances", status="failed") == 1)
        wait_for(lambda: value(http, "sayiir_partition_served", partition="0") == 1)
        found = families(http)
        published = {name for name in found if name.startswith("sayiir_")}
        of_group_or_later = {
            "sayiir_heartbeat_age_seconds",
            "sayiir_rejections",
            "sayiir_retries",
            "sayiir_tenures_ended",
        }
        assert published | of_group_or_later == {
            metric.name.removesuffix("_total") for metric in WORKER_METRICS
        }
        by_name = {metric.name.removesuffix("_total"): metric for metric in METRICS}
        for name in published:
            metric, family = by_name[name], found[name]
            assert (family.type, family.documentation) == (metric.kind, metric.meaning)
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels)
        assert value(
            http, "sayiir_attempts_total", workflow="failing", result="failed"
        ) == pytest.approx(1)
        assert value(
            http, "sayiir_attempt_seconds_bucket", workflow="adding", le="+Inf"
        ) == pytest.approx(2)
        assert (value(http, "sayiir_store_bytes", partition="0") or 0) > 0
        assert "process_resident_memory_bytes" in found


def test_runs_of_a_start_queue_are_counted_by_workflow(url: str) -> None:
    http = WorkerHttp("127.0.0.1:0")
    queued = Flow("queued", max_running=1).wait_for_signal("go").build()

    def stands(in_use: int, waiting: int) -> bool:
        counts = (
            value(http, f"sayiir_run_permits_{name}", workflow="queued")
            for name in ("in_use", "waiting")
        )
        return [*counts] == [in_use, waiting]

    client = WorkflowClient(url)
    with Worker("w1", url, observer=http).start([queued]):
        for number in range(3):
            client.submit(queued, f"q{number}", 1)
        wait_for(lambda: stands(1, 2))
        client.set_limit("queued", of="runs", max_running=2)
        wait_for(lambda: stands(2, 1))
    http = WorkerHttp("127.0.0.1:0")
    with Worker("w2", url, observer=http).start([queued]):
        wait_for(lambda: stands(2, 1))  # as the next owner finds it
        for number in range(3):
            client.send_signal(f"q{number}", "go", 1)
            client.wait(f"q{number}")
        wait_for(lambda: stands(0, 0))


def test_an_async_task_that_blocks_the_loop_is_told_by_a_thread_of_its_own(
    url: str,
) -> None:
    http = WorkerHttp("127.0.0.1:0")
    with Worker("w1", url, observer=http).start([BLOCKING]):
        assert get(http, "/health/live").json() == {"status": "live", "problems": []}
        wait_for(lambda: get(http, "/health/ready").status_code == 200)
        client = WorkflowClient(url)
        client.submit(BLOCKING, "b", 1, wait=False)
        wait_for(lambda: get(http, "/health/live").status_code == 503)
        codes = [one["code"] for one in get(http, "/health/ready").json()["problems"]]
        assert codes == ["loop_blocked"]
        assert (value(http, "sayiir_loop_age_seconds") or 0) > 0.5
        assert value(http, "sayiir_ready") == 0
        blocking.set()
        wait_for(lambda: get(http, "/health/live").status_code == 200)
        wait_for(lambda: get(http, "/health/ready").status_code == 200)


def test_a_worker_that_waits_for_its_partition_is_ready_and_says_so(url: str) -> None:
    first, second = WorkerHttp("127.0.0.1:0"), WorkerHttp("127.0.0.1:0")
    with Worker("w1", url, observer=first).start([ADDING]):
        wait_for(lambda: get(first, "/health/ready").status_code == 200)
        body = get(first, "/health/ready").json()
        assert body["partitions"] == {"assigned": [0], "served": [0]}
        with Worker("w2", url, observer=second).start([ADDING]):
            wait_for(lambda: get(second, "/health/ready").status_code == 200)
            body = get(second, "/health/ready").json()
            assert "partitions" not in body
            assert "no partition is assigned" in body["notes"][0]


async def test_a_worker_that_drains_is_not_ready_and_lives(url: str) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    @task
    async def wait(number: int) -> int:
        begun.set()
        await release.wait()
        return number

    waiting = Flow("waiting").then(wait).build()
    http = WorkerHttp("127.0.0.1:0")
    worker = aio.Worker("w1", url, [waiting], observer=http, drain="10s")
    async with worker, httpx.AsyncClient(base_url=http.address) as asks:
        client = aio.WorkflowClient(url)
        await client.submit(waiting, "w", 1)
        async with asyncio.timeout(10):
            await begun.wait()
            while (await asks.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 (told by HTTP)
                await asyncio.sleep(0.02)
        ending = asyncio.create_task(worker.shutdown())
        async with asyncio.timeout(10):
            ready = await asks.get("/health/ready")
            while ready.status_code == 200:
                await asyncio.sleep(0.02)
                ready = await asks.get("/health/ready")
        assert [one["code"] for one in ready.json()["problems"]] == ["draining"]
        assert (await asks.get("/health/live")).status_code == 200
        release.set()
        await ending
        with pytest.raises(httpx.ConnectError):
            await asks.get("/health/live")
        await client.aclose()


def test_a_worker_with_a_token_tells_strangers_that_it_is_well_and_no_more(
    url: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"prometheus {TOKEN}\n")
    settings = WebSettings(read_token_file=tokens)
    http = WorkerHttp("127.0.0.1:0", settings)
    with Worker("w1", url, observer=http).start([BLOCKING]):
        assert get(http, "/metrics").status_code == 401
        authorization = f"Bearer {TOKEN}"
        assert get(http, "/metrics", authorization=authorization).status_code == 200
        client = WorkflowClient(url)
        client.submit(BLOCKING, "b", 1, wait=False)
        wait_for(lambda: get(http, "/health/live").status_code == 503)
        assert get(http, "/health/live").json()["problems"] == [
            {"code": "loop_blocked"}
        ]
        told = get(http, "/health/live", authorization=authorization).json()
        assert "expected the event loop to turn" in told["problems"][0]["message"]
        blocking.set()


def test_beyond_this_machine_a_worker_wants_a_token(url: str) -> None:
    with pytest.raises(UsageError, match="expected a token or a proxy"):
        Worker("w1", url, observer=WorkerHttp("0.0.0.0:0")).start([ADDING])


def test_a_port_that_another_process_has_is_told_before_anything_is_begun(
    tmp_path: Path,
) -> None:
    first = WorkerHttp("127.0.0.1:0")
    with Worker("w1", f"file:{tmp_path / 'a.db'}", observer=first).start([ADDING]):
        port = first.address.rpartition(":")[2]
        second = WorkerHttp(f"127.0.0.1:{port}")
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1, but another"):
            Worker("w2", f"file:{tmp_path / 'b.db'}", observer=second).start([ADDING])
        assert not (tmp_path / "b.db").exists()


@pytest.mark.parametrize("name", ["nowhere.example", "evil.example:9464"])
def test_a_page_elsewhere_cannot_read_it_by_another_name(url: str, name: str) -> None:
    http = WorkerHttp("127.0.0.1:0")
    with Worker("w1", url, observer=http).start([ADDING]):
        assert get(http, "/metrics", host=name).status_code == 403


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(
    address: str, expected: tuple[str, int]
) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize(
    "address",
    ["", "9464", ":9464", "localhost", "localhost:", "h:65536", "h:x", "::1:80"],
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UsageError, match="expected an address to answer on"):
        parse_address(address)

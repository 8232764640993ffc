"""Health and metrics of `serve`: ready is whose backend answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sayiir_es import EmbeddedBackend, Flow, aio, task
from sayiir_es.operations import backend_probe
from sayiir_es.operations.metrics.catalogue import SERVE_METRICS
from sayiir_es.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from fastapi import FastAPI


@task
def add_one(number: int) -> int:
    return number + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def app(path: Path) -> FastAPI:
    return create_app(EmbeddedBackend(path))


@pytest.fixture
async def asks(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def test_it_lives_and_is_ready_where_the_backend_answers(
    path: Path, asks: httpx.AsyncClient
) -> None:
    client = aio.WorkflowClient(f"file:{path}")
    await client.submit(Flow("f").then(add_one).build(), "i", 1)
    await client.aclose()
    live = await asks.get("/health/live")
    assert (live.status_code, live.json()["status"]) == (200, "live")
    ready = await asks.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "problems": []},
    )


async def test_an_app_that_nobody_has_made_yet_is_no_trouble(
    path: Path, asks: httpx.AsyncClient
) -> None:
    ready = await asks.get("/health/ready")
    assert ready.status_code == 200
    assert "does not exist yet" in ready.json()["notes"][0]
    assert not path.exists()  # noqa: ASYNC240 (of a test)


async def test_a_backend_that_cannot_be_used_is_told_and_so_is_that_it_can_again(
    path: Path, asks: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_probe, "FRESH_S", 0.0)
    path.write_bytes(b"no log at all" * 1_000)  # noqa: ASYNC240 (of a test)
    ready = await asks.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["problems"][0]["message"].startswith("expected")
    assert (await asks.get("/health/live")).status_code == 200
    path.unlink()  # noqa: ASYNC240 (of a test)
    assert (await asks.get("/health/ready")).status_code == 200


async def test_requests_are_counted_by_route_and_not_by_path(
    asks: httpx.AsyncClient,
) -> None:
    for number in range(3):
        await asks.get(f"/no/such/page/{number}")
    await asks.get("/health/live")
    await asks.request("BREW", "/health/live")
    text = (await asks.get("/metrics")).text
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert {name for name in families if name.startswith("sayiir_")} == {
        metric.name.removesuffix("_total") for metric in SERVE_METRICS
    }
    counts = {
        tuple(sample.labels[name] for name in ("method", "route", "status")): (
            sample.value
        )
        for sample in families["sayiir_http_requests"].samples
    }
    assert counts["GET", "none", "404"] == 3
    assert counts["GET", "/health/live", "200"] == 1
    assert [method for method, _, _ in counts].count("other") == 1

"""The application of `examples/fastapi_orders.py`: its worker runs what it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from examples.fastapi_orders import app

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_an_application_runs_the_orders_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_BACKEND", f"file:{tmp_path / 'orders.db'}")
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        order = {"item": "teapot", "amount": 4}
        started = await client.post("/orders/order-7", json=order)
        assert started.status_code == 202
        again = await client.post("/orders/order-7", json=order)
        assert again.status_code == 202
        await app.state.client.wait("order-7", timeout="30s")
        shown = await client.get("/orders/order-7")
        assert shown.json() == {
            "id": "order-7",
            "status": "completed",
            "output": "4 teapot, 6 left",
        }
        assert (await client.get("/orders/order-8")).status_code == 404
        assert (await client.post("/orders/order-9", json={})).status_code == 422

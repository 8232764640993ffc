"""A web application that starts workflows, and runs them on its own event loop.

    pip install fastapi uvicorn
    uvicorn examples.fastapi_orders:app
    curl -X POST localhost:8000/orders/order-7 -d '{"item":"teapot","amount":5}' \
        -H 'content-type: application/json'
    curl localhost:8000/orders/order-7

The lifespan starts the worker behind its resources and ends it before them. On `file:`
one process of the application is the worker, so run one; on Kafka run as many as you
like (`SAYIIR_BACKEND=kafka://localhost:9092/sayiir`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from sayiir_es import Flow, InstanceNotFoundError, aio, backend_from_url, task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


class Order(BaseModel):
    """What is ordered."""

    item: str
    amount: int


class Stock:
    """Stands for a pool of connections: it belongs to the loop that it was made on."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._left = {"teapot": 10}
        self.is_open = True

    async def take(self, item: str, amount: int) -> int:
        """Take some of an item; how many are left."""
        async with self._lock:
            self._left[item] -= amount
            return self._left[item]

    async def close(self) -> None:
        """Close it."""
        self.is_open = False


# `stock` is no step: so it is a resource, which the worker's `on_startup` gives.
@task(retries=3)
async def reserve(order: Order, *, stock: Stock) -> int:
    """Take the items from the shelf."""
    return await stock.take(order.item, order.amount)


@task
def confirm(left: int, *, workflow_input: Order) -> str:
    """Say what was reserved."""
    return f"{workflow_input.amount} {workflow_input.item}, {left} left"


orders = Flow("orders").then(reserve).then(confirm).build()


async def open_stock() -> dict[str, object]:
    """What tasks name: called once, on the loop of the application."""
    return {"stock": Stock()}


async def close_stock(resources: Mapping[str, object]) -> None:
    """Called behind the last task."""
    stock = resources["stock"]
    assert isinstance(stock, Stock)
    await stock.close()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """A worker and a client on one backend, as long as the application runs."""
    backend = backend_from_url(os.environ.get("SAYIIR_BACKEND", "file:orders.db"))
    name = f"{socket.gethostname()}-{os.getpid()}"
    async with (
        aio.Worker(
            name,
            backend,
            [orders],
            on_startup=open_stock,
            on_shutdown=close_stock,
        ),
        aio.WorkflowClient(backend) as client,
    ):
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}", status_code=202)
async def start(order_id: str, order: Order, request: Request) -> dict[str, str]:
    """Start an order; the same id again starts nothing."""
    client: aio.WorkflowClient = request.app.state.client
    status = await client.submit(
        orders, order_id, order, conflict_policy="use_existing"
    )
    return {"id": order_id, "status": status.status}


@app.get("/orders/{order_id}")
async def show(order_id: str, request: Request) -> dict[str, object]:
    """What became of an order."""
    client: aio.WorkflowClient = request.app.state.client
    try:
        status = await client.status(order_id)
    except InstanceNotFoundError as error:
        raise HTTPException(status_code=404, detail=str(error)) from error
    return {"id": order_id, "status": status.status, "output": status.output}

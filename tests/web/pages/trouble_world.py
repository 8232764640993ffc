"""A server with pages, and behind it a worker in much trouble."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypedDict

import uvicorn

from sayiir_es import Flow, InMemoryBackend, RetryPolicy, aio, task
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.web.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Any, Self

    from sayiir_es import Workflow
    from sayiir_es.web.settings import WebSettings

HOSTILE_ID = "<img src=x onerror=alert(1)>\x1b[2J"

FAILED_IN_CHARGE = 6
FAILED_IN_RESERVE = 3
RETRYING = 2
STRANDED = 2
LIMIT_S = 30


class Order(TypedDict):
    """What is ordered, and what goes wrong with it."""

    number: int
    trouble: str


class CardDeclinedError(Exception):
    """The card network says no."""


class StockError(Exception):
    """The stock does not answer."""


is_mended = threading.Event()
"""From then on nothing goes wrong."""


def _fail(order: Order, trouble: str, error: Exception) -> None:
    if order["trouble"] == trouble and not is_mended.is_set():
        raise error


@task
def reserve(order: Order) -> Order:
    """Take it from the shelf."""
    _fail(order, "stock", StockError("<script>alert(1)</script> does not answer"))
    return order


@task
def charge(order: Order) -> Order:
    """Ask the card network."""
    _fail(order, "card", CardDeclinedError(f"order {order['number']}: do not honour"))
    return order


@task(retries=RetryPolicy(max_retries=9, initial_delay_secs=3600))
def ship(order: Order) -> Order:
    """Hand it to the carrier."""
    _fail(order, "carrier", ConnectionError("the carrier refused"))
    return order


orders = Flow("orders").then(reserve).then(charge).then(ship).build()
approvals = Flow("approvals").wait_for_signal("approval").then(ship).build()
exports = Flow("exports").then(reserve).build()
"""No worker has its code."""


async def fill(client: aio.WorkflowClient) -> None:
    """Start what is to be seen."""
    troubles = [
        *["card"] * FAILED_IN_CHARGE,
        *["stock"] * FAILED_IN_RESERVE,
        *["carrier"] * RETRYING,
        *["none"] * 3,
    ]
    starts = [
        (f"order-{number}", {"number": number, "trouble": trouble})
        for number, trouble in enumerate(troubles)
    ]
    await client.submit_many(orders, starts, attributes={"customer": "42"})
    await client.submit(orders, HOSTILE_ID, {"number": 99, "trouble": "none"})
    for number in range(3):
        await client.submit(
            approvals, f"approval-{number}", {"number": number, "trouble": "none"}
        )
    await client.pause("approval-0", reason="the month ends")
    for number in range(STRANDED):
        await client.submit(
            exports, f"export-{number}", {"number": number, "trouble": "none"}
        )
    await _wait_for(client, "failed", FAILED_IN_CHARGE + FAILED_IN_RESERVE)
    await _wait_for(client, "completed", 4)
    await write_dead_letters(client)


async def write_dead_letters(client: aio.WorkflowClient) -> None:
    """Write what no worker can read: text, JSON that is no command, and bytes."""
    log = client._get_session().log  # pyright: ignore[reportPrivateUsage]
    for key, value in (
        (b"order-0", b'{"command": "Dance", "password": "hunter2"}'),
        (b"order-1", b"what is this"),
        (b"order-2", bytes(range(64))),
    ):
        await log.produce(Topic.COMMANDS, 0, NewRecord(key=key, value=value))


async def _wait_for(client: aio.WorkflowClient, status: str, number: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await client.count(status=status) != number:  # noqa: ASYNC110 (it is asked)
            await asyncio.sleep(0.02)


class TroubleWorld:
    """The server, on a thread of its own; `address` is where it answers."""

    def __init__(
        self,
        workflows: Sequence[Workflow] = (orders, approvals),
        begin: Callable[[aio.WorkflowClient], Coroutine[Any, Any, None]] = fill,
        settings: WebSettings | None = None,
    ) -> None:
        self._workflows = list(workflows)
        self._begin = begin
        self._settings = settings
        self.address = ""
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="trouble-world")
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: aio.WorkflowClient | None = None

    def __enter__(self) -> Self:
        is_mended.clear()
        self._thread.start()
        self._ready.result(LIMIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def call(
        self, ask: Callable[[aio.WorkflowClient], Coroutine[Any, Any, Any]]
    ) -> Any:
        """What a call of the client returns."""
        assert self._loop is not None
        assert self._client is not None
        coroutine = ask(self._client)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(LIMIT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = ending = asyncio.Event()
        with InMemoryBackend() as backend:
            async with (
                aio.WorkflowClient(backend) as client,
                aio.Worker("w-1", backend, self._workflows),
            ):
                self._client = client
                await self._begin(client)
                app = create_app(backend, self._settings, ending=ending)
                config = uvicorn.Config(
                    app, port=0, log_level="error", timeout_graceful_shutdown=2
                )
                server = uvicorn.Server(config)
                serving = asyncio.create_task(server.serve())
                async with asyncio.timeout(LIMIT_S):
                    while not server.started:  # noqa: ASYNC110 (no event says it)
                        await asyncio.sleep(0.01)
                port = server.servers[0].sockets[0].getsockname()[1]
                self.address = f"http://127.0.0.1:{port}"
                self._ready.set_result(None)
                await ending.wait()
                server.should_exit = True
                await serving

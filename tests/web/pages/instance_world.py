"""Instances with everything on their pages: failed and undone, waiting, hostile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sayiir_es import Flow, RetryPolicy, task
from tests.operations.rich_workflow import (
    bill,
    give_back,
    hand_over,
    join_papers,
    note_unreachable,
    notify,
    pack,
    shipping,
    weigh,
)

if TYPE_CHECKING:
    from sayiir_es import aio

HOSTILE_ID = 'a/b?c#d%e "><img src=x onerror=alert(1)> javascript:x\x1b[2J\u202e/'
HOSTILE_ERROR = "<img src=x onerror=alert(2)> password=hunter2 \x1b[2J\u202e\"'"

ORDER: dict[str, Any] = {
    "customer": "ana",
    "amount": 5,
    "card": "4111-1111",
    "note": "</code><script>alert(3)</script>",
}
LIMIT_S = 30
BIG_ROWS = 20_000


@task(
    retries=RetryPolicy(max_retries=2, initial_delay_secs=0.05),
    timeout="30s",
    compensate=give_back,
)
def charge(order: dict[str, Any]) -> dict[str, Any]:
    """Fails twice."""
    from sayiir_es import get_task_context  # noqa: PLC0415 (of the attempt)

    context = get_task_context()
    assert context is not None
    if context.attempt < 3:
        raise TimeoutError(HOSTILE_ERROR)
    return {**order, "charged": True}


@task(retries=RetryPolicy(max_retries=9, initial_delay_secs=3600.0))
def refuse(order: dict[str, Any]) -> None:
    """Fails, and is tried again in an hour."""
    raise OSError(HOSTILE_ERROR + str(order["amount"]))


@task
def grow(order: dict[str, Any]) -> dict[str, Any]:
    """Gives back more than a page shows."""
    return {"rows": [f"{order['amount']} {n}" * 4 for n in range(BIG_ROWS)]}


def _order_flow(name: str, *, is_failing: bool) -> Any:
    flow = (
        Flow(name, version="2")
        .then(charge)
        .fork()
        .branch(pack)
        .branch(bill)
        .join(join_papers)
        .wait_for_signal("approval", timeout="48h", keep_input=True)
        .delay("cool_off", "50ms")
        .loop(Flow("scales").then(weigh), max_iterations=5)
        .then_flow(shipping)
        .attempt(Flow("tell").then(notify))
        .on_error(Flow("told").then(note_unreachable))
    )
    return (flow.then(hand_over) if is_failing else flow).build()


failing = _order_flow("failing-orders", is_failing=True)
fine = _order_flow("fine-orders", is_failing=False)
refusing = Flow("refusing").then(refuse).build()
growing = Flow("growing").then(grow).build()

WORKFLOWS = (failing, fine, refusing, growing)


async def fill_instances(client: aio.WorkflowClient) -> None:
    """Start what is to be looked at."""
    attributes = {"customer": "42", "api_token": "s3cret"}
    for workflow, instance_id in (
        (failing, "order-7"),
        (fine, "order-8"),
        (fine, "order-9"),
        (refusing, "stuck-1"),
        (growing, "big-1"),
        (fine, HOSTILE_ID),
    ):
        await client.submit(workflow, instance_id, ORDER, attributes=attributes)
    for instance_id in ("order-7", "order-8"):
        await until_status(client, instance_id, "awaiting_signal")
        await client.send_signal(instance_id, "approval", {"ok": True})
    await until_status(client, "order-7", "failed")
    await until_status(client, "order-8", "completed")
    await until_status(client, "big-1", "completed")
    for instance_id in ("order-9", HOSTILE_ID):
        await until_status(client, instance_id, "awaiting_signal")


async def until_status(
    client: aio.WorkflowClient, instance_id: str, status: str
) -> None:
    """Wait until an instance is in a status."""
    async with asyncio.timeout(LIMIT_S):
        while (await client.status(instance_id)).status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

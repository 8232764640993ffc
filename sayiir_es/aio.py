"""The public functions as coroutines, for code that already runs an event loop.

A backend object keeps a session for each event loop until `aclose`. A file that a
function is given as a URL stays open for the calls behind it on the same loop, for a
second. Another URL is opened for that call only: on Kafka keep an object, or a
`WorkflowClient`, where calls are many.

    async with WorkflowClient("file:orders.db") as client:
        await client.submit("orders", "order-7", {"amount": 5})
        await client.wait("order-7", timeout="30s")
"""

from __future__ import annotations

from sayiir_es.client.async_calls import (
    aclose,
    cancel_workflow,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    send_signal,
    unpause_workflow,
)
from sayiir_es.client.async_client import WorkflowClient
from sayiir_es.client.async_worker import Worker

__all__ = [
    "Worker",
    "WorkflowClient",
    "aclose",
    "cancel_workflow",
    "pause_workflow",
    "resume_workflow",
    "run_durable_workflow",
    "run_workflow",
    "send_signal",
    "unpause_workflow",
]

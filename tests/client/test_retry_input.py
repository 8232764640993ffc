"""An operator's retry: the same idempotency key, and another input if one is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    Worker,
    WorkflowClient,
    WorkflowError,
    get_task_context,
    task,
)
from sayiir_es.audit.history import history
from sayiir_es.core.model.events import WorkflowRetried

if TYPE_CHECKING:
    from collections.abc import Iterator


PAID: list[tuple[str, int, object]] = []
"""Key, run and card of each execution that charged."""


@task
def charge(card: str) -> str:
    context = get_task_context()
    PAID.append((context.idempotency_key, context.run, card))
    if card != "good":
        raise ValueError("declined")
    return "paid"


paying = Flow("paying").then(charge).build()


waiting = (
    Flow("waiting").wait_for_signal("ok", timeout="1ms", on_timeout="fail").build()
)


@pytest.fixture
def backend() -> Iterator[InMemoryBackend]:
    PAID.clear()
    with InMemoryBackend() as backend:
        yield backend


@pytest.fixture
def client(backend: InMemoryBackend) -> Iterator[WorkflowClient]:
    with Worker("w", backend).start([paying, waiting]):
        yield WorkflowClient(backend)


def until_end(client: WorkflowClient) -> str:
    return client.wait("order-7", timeout=20).status


def test_a_retry_keeps_the_key_and_takes_another_input(
    client: WorkflowClient, backend: InMemoryBackend
) -> None:
    client.submit(paying, "order-7", "bad")
    assert until_end(client) == "failed"
    client.retry("order-7")
    assert until_end(client) == "failed"
    client.retry("order-7", input="good", reason="another card", retried_by="ana")
    assert until_end(client) == "completed"
    assert PAID == [
        ("order-7/1/charge", 1, "bad"),
        ("order-7/1/charge", 2, "bad"),
        ("order-7/1/charge", 3, "good"),
    ]
    bodies = [
        entry.event.body
        for entry in history(backend, "order-7").events
        if isinstance(entry.event.body, WorkflowRetried)
    ]
    assert [(b.input, b.reason, b.requested_by) for b in bodies] == [
        (None, None, None),
        (b'"good"', "another card", "ana"),
    ]


def test_a_start_anew_has_a_key_of_its_own(client: WorkflowClient) -> None:
    for _ in range(3):
        client.submit(paying, "order-7", "bad", conflict_policy="terminate_existing")
        until_end(client)
    client.retry("order-7")
    until_end(client)
    assert [key for key, _, _ in PAID] == [
        "order-7/1/charge",
        "order-7/2/charge",
        "order-7/3/charge",
        "order-7/3/charge",
    ]
    assert PAID[-1][1] == 4


def test_an_input_of_none_is_an_input(client: WorkflowClient) -> None:
    client.submit(paying, "order-7", "bad")
    until_end(client)
    client.retry("order-7", input=None)
    until_end(client)
    assert [card for _, _, card in PAID] == ["bad", None]


def test_what_takes_no_input_refuses_one(client: WorkflowClient) -> None:
    client.submit(waiting, "order-7", 1)
    assert until_end(client) == "failed"
    with pytest.raises(WorkflowError, match="would not get it"):
        client.retry("order-7", input=1)

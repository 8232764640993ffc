"""Examples of what runs and starts wait by: run permits, and debounced starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model import commands as c
from sayiir_es.core.model.debounce_events import (
    DebouncedStartSent,
    DebounceElapsed,
    StartDebounced,
)
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitGranted,
    RunPermitMessageSent,
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
    RunPermitTaken,
)

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Body

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

WAITING_RUNS: tuple[Body, ...] = (
    RunPermitAsked(
        holder="order-7", key="orders/42", limit=3, queue_length=1_000, again=True
    ),
    RunPermitTaken(holder="order-7", key="orders/42", ask=2),
    RunPermitMessageSent(message="ask", other="orders/42", ask=2),
    RunPermitQueued(holder="order-7", ask=2, limit=3, queue_length=1_000),
    RunPermitGranted(holder="order-7", ask=2, limit=3, queue_length=1_000),
    RunPermitRefused(holder="order-7", ask=2, limit=3, queue_length=1_000),
    RunPermitReturned(holder="order-7", ask=2),
    StartDebounced(
        command_id="3@50",
        start_id="order-7",
        workflow="orders",
        input=b'{"amount":5}',
        first_at=1_700_000_000_000,
        due_at=1_700_000_005_000,
        replaced="order-6",
        definition_hash="ab" * 32,
        conflict_policy="use_existing",
        attributes={"customer": "42"},
        version="2",
        traceparent=TRACEPARENT,
    ),
    DebounceElapsed(start_id="order-7"),
    DebouncedStartSent(start_id="order-7", elapsed=17),
)

ABOUT_WAITING_RUNS: tuple[c.Command, ...] = (
    c.AskRunPermit(
        instance_id="$queue/orders/42",
        command_id="3@47",
        holder="order-7",
        ask=2,
        limit=3,
        queue_length=1_000,
        again=True,
    ),
    c.AnswerRunPermit(
        instance_id="order-7",
        command_id="3@48",
        key="orders/42",
        ask=2,
        granted=True,
        queue_length=1_000,
    ),
    c.ReturnRunPermit(
        instance_id="$queue/orders/42",
        command_id="3@49",
        holder="order-7",
        ask=2,
    ),
    c.DebounceStart(
        instance_id="$debounce/orders/42",
        command_id="3@50",
        start_id="order-7",
        workflow="orders",
        input=b'{"amount":5}',
        quiet_ms=5_000,
        max_ms=60_000,
        definition_hash="ab" * 32,
        conflict_policy="use_existing",
        attributes={"customer": "42"},
        version="2",
    ),
)

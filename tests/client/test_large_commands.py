"""The largest commands that a log takes: each is answered, and no partition stops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, InMemoryBackend, Worker
from sayiir_es.client.commands import start_command
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RecordOutcome,
    SendSignal,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.log.batch_size import MAX_BATCH_BYTES
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.wire.requests import Decided


parked = Flow("parked").wait_for_signal("go").build()
START = StartWorkflow(
    instance_id="new", command_id="c", workflow="parked", input=b"1", attributes={}
)
CANCEL = CancelWorkflow(instance_id="old", command_id="c")
PAUSE = PauseWorkflow(instance_id="old", command_id="c")
UNPAUSE = UnpauseWorkflow(instance_id="old", command_id="c")
SIGNAL = SendSignal(instance_id="old", command_id="c", signal="go", payload=b"1")
OUTCOME = RecordOutcome(
    instance_id="old",
    command_id="c",
    run=1,
    path="go",
    attempt=1,
    result="failed",
)

FIELDS: dict[str, tuple[str, Callable[[str], Command]]] = {
    "command_id": ("bad_request", lambda text: replace(START, command_id=text)),
    "workflow": ("bad_request", lambda text: replace(START, workflow=text)),
    "definition_hash": (
        "bad_request",
        lambda text: replace(START, definition_hash=text),
    ),
    "input": ("too_large", lambda text: replace(START, input=encode_payload(text))),
    "attribute": ("too_large", lambda text: replace(START, attributes={"k": text})),
    "attribute name": ("too_large", lambda text: replace(START, attributes={text: ""})),
    "signal": ("bad_request", lambda text: replace(SIGNAL, signal=text)),
    "signal_id": ("bad_request", lambda text: replace(SIGNAL, signal_id=text)),
    "payload": (
        "too_large",
        lambda text: replace(SIGNAL, payload=encode_payload(text)),
    ),
    "reason of a cancel": ("too_large", lambda text: replace(CANCEL, reason=text)),
    "reason of a pause": ("too_large", lambda text: replace(PAUSE, reason=text)),
    "reason of an unpause": ("too_large", lambda text: replace(UNPAUSE, reason=text)),
    "requested_by": ("bad_request", lambda text: replace(PAUSE, requested_by=text)),
    "path": ("too_large", lambda text: replace(OUTCOME, path=text)),
    "worker": ("bad_request", lambda text: replace(OUTCOME, worker=text)),
    "error_type": ("bad_request", lambda text: replace(OUTCOME, error_type=text)),
    "output": (
        "too_large",
        lambda text: replace(OUTCOME, output=encode_payload(text)),
    ),
}


ADDRESS_BYTES = 64
"""What the header takes at most that says where the decision is told."""


def largest(make: Callable[[str], Command], letter: str) -> Command:
    """The command whose record is as large as a log takes."""
    # Two sizes tell what a letter takes: a payload may hold it escaped.
    smaller, larger = (
        len(encode_command_avro(make(letter * count))) for count in (99_000, 100_000)
    )
    size = (larger - smaller) // 1_000
    beside = larger - 100_000 * size
    return make(letter * ((MAX_BATCH_BYTES - beside - ADDRESS_BYTES) // size))


@pytest.mark.parametrize("letter", ["x", "\x00", "ä"], ids=ascii)
@pytest.mark.parametrize("field", FIELDS)
def test_the_largest_record_is_refused_and_the_partition_goes_on(
    field: str, letter: str
) -> None:
    code, make = FIELDS[field]
    command = largest(make, letter)
    with InMemoryBackend() as backend, Worker("w", backend).start([parked]):
        session = backend.session

        async def send() -> tuple[Decided, Decided]:
            await session.execute(start_command("parked", "old", b"1", policy="fail"))
            reply = await session.send(command)
            return reply, await session.send(replace(SIGNAL, command_id="next"))

        reply, after = backend.thread.call(send())
    assert reply.event == "CommandRejected"
    assert reply.code == code
    assert after.event == "SignalReceived"


def test_attributes_up_to_the_limit_are_recorded() -> None:
    name, most = "customer", DEFAULT_LIMITS.attributes_bytes
    attributes = {name: "ä" * ((most - len(name)) // 2)}
    with InMemoryBackend() as backend, Worker("w", backend).start([parked]):
        session = backend.session

        async def send() -> tuple[Decided, Decided]:
            await session.open()
            first = await session.send(replace(START, attributes=attributes))
            attributes["x"] = ""
            larger = replace(START, instance_id="more", attributes=attributes)
            return first, await session.send(larger)

        accepted, rejected = backend.thread.call(send())
    assert accepted.event == "WorkflowStarted"
    assert rejected.event == "CommandRejected"
    assert f"at most {most} bytes, but {most + 1} bytes" in rejected.message

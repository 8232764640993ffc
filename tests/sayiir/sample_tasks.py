"""Tasks and reads that the tests of this folder share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import WorkflowClient, WorkflowStatus, resume_workflow
from sayiir_es import run_durable_workflow as run
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.engine.valid_events import EventFilter, ValidEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es import Workflow
    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.model.events import Event

LIMIT_S = 30.0


def add_one(value: int) -> int:
    return value + 1


def double(value: int) -> int:
    return value * 2


def times_hundred(value: int) -> int:
    return value * 100


def same(value: object) -> object:
    return value


def boom(_: object) -> object:
    raise ValueError("bang")


class Crash:
    """A task that ends its process, as Ctrl-C does, at its call of that number."""

    def __init__(self, at_call: int = 1) -> None:
        self._at_call = at_call
        self.inputs: list[object] = []

    def __call__(self, value: Any) -> Any:
        """Return the input, or end the process."""
        self.inputs.append(value)
        if len(self.inputs) == self._at_call:
            raise KeyboardInterrupt
        return value


class RecordingFunction:
    """A function that records the inputs of its calls."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.inputs: list[object] = []

    def __call__(self, value: Any) -> Any:
        """Call the function."""
        self.inputs.append(value)
        return self._function(value)


def run_crashing(
    flow: Workflow, instance_id: str, value: object, backend: Backend
) -> None:
    """Run an instance whose process ends in the middle."""
    with pytest.raises(KeyboardInterrupt):
        run(flow, instance_id, value, backend)


def resume_until_ended(
    flow: Workflow, instance_id: str, backend: Backend
) -> WorkflowStatus:
    """Resume an instance as often as it takes."""
    ended = ("completed", "failed", "cancelled")
    limit = time.monotonic() + LIMIT_S
    while True:
        status = resume_workflow(flow, instance_id, backend)
        if status.status in ended:
            return status
        assert time.monotonic() < limit, status
        time.sleep(0.005)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


def waits_for(client: WorkflowClient, instance_id: str, status: str) -> None:
    """Wait until an instance has that status."""
    until(lambda: client.status(instance_id).status == status)


def history(backend: Backend, instance_id: str) -> list[Event]:
    """The valid events of an instance."""

    async def read() -> list[Event]:
        session = backend.session
        await session.open()
        partition = partition_of_instance(session.log, instance_id)
        event_filter = EventFilter(instance_id=instance_id)
        events = ValidEvents(session.log, partition, 0, event_filter)
        history = [event.event async for event in events.until_end()]
        await events.close()
        return history

    return backend.thread.call(read())


def kinds(backend: Backend, instance_id: str) -> list[str]:
    """The kinds of an instance's events."""
    return [type(event.body).__name__ for event in history(backend, instance_id)]

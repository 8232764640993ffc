"""Ids: text, or a `uuid.UUID` as its text; any other type is an error that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from sayiir_es import (
    DurableEngine,
    Flow,
    InMemoryBackend,
    Worker,
    WorkflowClient,
    aio,
    cancel_workflow,
    pause_workflow,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    send_signal,
    unpause_workflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ID = UUID("0190b6a0-0000-7000-8000-000000000001")
OTHER_ID = UUID("0190b6a0-0000-7000-8000-000000000002")
SENTENCE = r"expected a str or uuid\.UUID, but {} \(write str\(\.\.\.\)\)"

parked = Flow("parked").wait_for_signal("go").build()


def fail(number: int) -> int:
    raise ValueError(number)


failing = Flow("failing").then(fail).build()


def test_a_uuid_is_taken_as_its_text_by_a_client() -> None:
    with InMemoryBackend() as backend, Worker("w", backend).start([parked, failing]):
        client = WorkflowClient(backend)
        assert client.submit(parked, ID, command_id=OTHER_ID).instance_id == str(ID)
        client.pause(ID)
        client.unpause(ID)
        client.send_signal(ID, "go", 7)
        assert client.wait(ID, timeout=20).output == 7
        assert client.status(str(ID)) == client.status(ID)
        assert client.get_task_result(ID, "wait_for_signal") is None
        forked = client.fork(ID, at=2, new_id=OTHER_ID)
        assert forked.instance_id == str(OTHER_ID)
        client.cancel(OTHER_ID)
        many = client.submit_many(parked, [(UUID(int=n), None) for n in range(3)])
        assert [one.instance_id for one in many] == [str(UUID(int=n)) for n in range(3)]
        failed = client.run(failing, UUID(int=9), 1, timeout=20)
        assert failed.instance_id == str(UUID(int=9))
        client.retry(UUID(int=9))


def test_a_uuid_is_taken_as_its_text_by_helpers() -> None:
    with InMemoryBackend() as backend:
        assert run_durable_workflow(parked, ID, None, backend).instance_id == str(ID)
        pause_workflow(ID, backend)
        unpause_workflow(ID, backend)
        send_signal(ID, "go", 7, backend)
        assert resume_workflow(parked, ID, backend).output == 7
        DurableEngine(backend).run(parked, OTHER_ID, None)
        cancel_workflow(OTHER_ID, backend)
        assert WorkflowClient(backend).status(str(OTHER_ID)).is_cancelled()


def calls(backend: InMemoryBackend, wrong: Any) -> list[Callable[[], object]]:
    """Every synchronous call that takes an instance id."""
    client = WorkflowClient(backend)
    return [
        lambda: client.submit(parked, wrong),
        lambda: client.submit(parked, wrong, ack="log"),
        lambda: client.run(parked, wrong),
        lambda: client.submit_many(parked, [("a", None), (wrong, None)]),
        lambda: client.status(wrong),
        lambda: client.wait(wrong),
        lambda: client.send_signal(wrong, "go"),
        lambda: client.cancel(wrong),
        lambda: client.pause(wrong),
        lambda: client.unpause(wrong),
        lambda: client.retry(wrong),
        lambda: client.fork(wrong, at=1, new_id="b"),
        lambda: client.fork("a", at=1, new_id=wrong),
        lambda: client.get_task_result(wrong, "t"),
        lambda: run_durable_workflow(parked, wrong, None, backend),
        lambda: resume_workflow(parked, wrong, backend),
        lambda: cancel_workflow(wrong, backend),
        lambda: pause_workflow(wrong, backend),
        lambda: unpause_workflow(wrong, backend),
        lambda: send_signal(wrong, "go", None, backend),
    ]


@pytest.mark.parametrize(
    ("wrong", "name"), [(7, "int"), (b"a", "bytes"), (None, "NoneType")]
)
def test_another_type_is_an_error_that_says_what_to_write(
    wrong: object, name: str
) -> None:
    with InMemoryBackend() as backend:
        for call in calls(backend, wrong):
            with pytest.raises(TypeError, match=SENTENCE.format(name)):
                call()
        assert WorkflowClient(backend).count() == 0  # not even the one before it


def test_a_command_id_too_is_text_or_a_uuid() -> None:
    wrong: Any = 7
    with InMemoryBackend() as backend:
        client = WorkflowClient(backend)
        with pytest.raises(TypeError, match="command_id: " + SENTENCE.format("int")):
            client.submit(parked, "a", command_id=wrong)
        with pytest.raises(TypeError, match="instance_id: " + SENTENCE.format("int")):
            run_workflow(parked, None, instance_id=wrong, backend=backend)


async def test_the_same_holds_on_the_callers_loop() -> None:
    wrong: Any = 7
    backend = InMemoryBackend()
    async with aio.WorkflowClient(backend) as client:
        assert (await client.submit(parked, ID)).instance_id == str(ID)
        assert (await client.status(ID)).status == "awaiting_signal"
        awaitables: list[Coroutine[object, object, object]] = [
            client.status(wrong),
            client.run(parked, wrong),
            aio.cancel_workflow(wrong, backend),
        ]
        for awaitable in awaitables:
            with pytest.raises(TypeError, match=SENTENCE.format("int")):
                await awaitable
    await aio.aclose(backend)
    backend.close()

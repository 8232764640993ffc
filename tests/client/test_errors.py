"""Errors of clients: caught by class and code, exported, and as they were elsewhere."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

import sayiir_es
from sayiir_es import (
    BackendError,
    CommandRefusedError,
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    LogUnavailableError,
    NoWorkerError,
    SubmitManyError,
    Worker,
    WorkflowClient,
    aio,
    cancel_workflow,
    resume_workflow,
)
from tests.client.group_backend import GroupBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture(params=["memory", "file", "group"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    kind: str = request.param
    made: Backend
    if kind == "file":
        made = EmbeddedBackend(tmp_path / "log.db")
    else:
        made = InMemoryBackend() if kind == "memory" else GroupBackend()
    with made, Worker("w", made).start([parked]):
        yield made


def test_each_is_a_backend_error_with_a_code_of_its_own() -> None:
    codes = {
        CommandRefusedError: "command_refused",
        InstanceNotFoundError: "instance_not_found",
        LogUnavailableError: "log_unavailable",
        NoWorkerError: "no_worker",
        SubmitManyError: "submit_many",
    }
    for error, code in codes.items():
        assert issubclass(error, BackendError)
        assert error.code == code
        assert error.__name__ in sayiir_es.__all__


def test_an_instance_that_is_not_there(backend: Backend) -> None:
    client = WorkflowClient(backend)
    calls: list[Callable[[], object]] = [
        lambda: client.status("nobody"),
        lambda: client.wait("nobody", timeout=20),
        lambda: client.get_task_result("nobody", "t"),
        lambda: client.cancel("nobody"),
        lambda: client.pause("nobody"),
        lambda: client.unpause("nobody"),
        lambda: client.retry("nobody"),
        lambda: resume_workflow(parked, "nobody", backend),
        lambda: cancel_workflow("nobody", backend),
    ]
    for call in calls:
        with pytest.raises(InstanceNotFoundError) as caught:
            call()
        assert str(caught.value) == "Snapshot not found: nobody"


def test_an_instance_that_is_not_there_and_nobody_who_says_so() -> None:
    with GroupBackend() as backend, pytest.raises(InstanceNotFoundError):
        WorkflowClient(backend).status("nobody")


def test_a_refused_command_says_by_which_rejection(backend: Backend) -> None:
    client = WorkflowClient(backend)
    client.submit(parked, "a")
    with pytest.raises(CommandRefusedError) as caught:
        client.unpause("a")
    assert caught.value.rejection == "not_paused"
    client.send_signal("a", "go")
    client.wait("a", timeout=20)
    with pytest.raises(CommandRefusedError) as caught:
        client.send_signal("a", "go")
    assert caught.value.rejection == "terminal"


async def test_they_are_the_same_on_the_callers_loop(backend: Backend) -> None:
    async with aio.WorkflowClient(backend) as client:
        with pytest.raises(InstanceNotFoundError):
            await client.status("nobody")
        await client.submit(parked, "a")
        with pytest.raises(CommandRefusedError):
            await client.unpause("a")


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "log.db").mkdir()
    with (
        EmbeddedBackend(tmp_path / "log.db") as backend,
        pytest.raises(LogUnavailableError),
    ):
        WorkflowClient(backend).submit(parked, "a")


def test_they_cross_processes_whole() -> None:
    refused = CommandRefusedError("no", rejection="terminal")
    copy: object = pickle.loads(pickle.dumps(refused))  # noqa: S301 - our own
    assert isinstance(copy, CommandRefusedError)
    assert (str(copy), copy.rejection) == ("no", "terminal")
    many = SubmitManyError([("a", InstanceAlreadyExistsError("it exists"))], 3)
    other: object = pickle.loads(pickle.dumps(many))  # noqa: S301 - our own
    assert isinstance(other, SubmitManyError)
    assert str(other) == str(many)
    assert (other.count, other.errors[0][0]) == (3, "a")
    assert isinstance(other.errors[0][1], InstanceAlreadyExistsError)

"""One command for many instances: all that match get it, and each is told apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Unpack

import pytest

from sayiir_es import (
    BulkResult,
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    Worker,
    WorkflowClient,
    aio,
    run_durable_workflow,
)
from sayiir_es.client.search import ALL_PAGE, Criteria, iter_instances
from sayiir_es.core.model.errors import CommandRefusedError
from sayiir_es.core.status.search import Search

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.status.search import TimeName

MANY = 2 * ALL_PAGE + 50
"""Instances on more than two pages."""


class Remote:
    """What a task calls; it may be out of order."""

    is_down = True

    def call(self, number: int) -> int:
        """The number, unless it is out of order."""
        if self.is_down:
            raise TimeoutError(number)
        return number


parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with backend:
        yield backend


def ids(client: WorkflowClient, **criteria: Unpack[Criteria]) -> set[str]:
    return {status.instance_id for status in client.list(limit=10_000, **criteria)}


def test_all_that_failed_are_retried_though_each_retry_takes_one_off_the_search(
    backend: Backend, remote: Remote
) -> None:
    calling = Flow("calling").then(remote.call, name="call").build()
    client = WorkflowClient(backend)
    with Worker("w", backend).start([calling, parked]):
        for number in range(MANY):
            client.submit(calling, f"c{number}", number)
        client.submit(parked, "other")
        for number in range(MANY):
            assert client.wait(f"c{number}", timeout="30s").status == "failed"
        remote.is_down = False
        progress: list[tuple[int, int]] = []
        result = client.retry_where(
            workflow="calling",
            error_type="TimeoutError",
            since="2h",
            on_progress=lambda answered, total: progress.append((answered, total)),
        )
        assert result == BulkResult(done=MANY, errors={})
        assert progress == [(number + 1, MANY) for number in range(MANY)]
        for number in range(MANY):
            assert client.wait(f"c{number}", timeout="30s").output == number
    assert client.retry_where(workflow="calling") == BulkResult(done=0, errors={})


@pytest.mark.parametrize("by", ["started", "updated"])
def test_pause_unpause_signal_and_cancel_by_criteria(backend: Backend, by: str) -> None:
    client = WorkflowClient(backend)
    for number in range(4):
        attributes = {"customer": str(number % 2)}
        client.submit(parked, f"p{number}", attributes=attributes)
    odd: Criteria = {"attributes": {"customer": "1"}, "by": by, "since": "1h"}
    assert client.pause_where(**odd, reason="audit", paused_by="ana").done == 2
    assert ids(client, status="paused") == {"p1", "p3"}
    assert client.status("p1").reason == "audit"
    assert client.unpause_where(until="0s", by=by).done == 2
    assert ids(client, status="paused") == set()
    signalled = client.signal_where("other", {"a": 1}, workflow="parked", signal_id="s")
    assert signalled.done == 4
    cancelled = client.cancel_where(
        workflow="parked", reason="enough", cancelled_by="ana"
    )
    assert cancelled == BulkResult(done=4, errors={})
    assert ids(client, status="cancelled") == {"p0", "p1", "p2", "p3"}
    assert client.cancel_where(workflow="parked").done == 0


def test_a_refused_command_is_an_error_of_its_instance_only(backend: Backend) -> None:
    client = WorkflowClient(backend)
    doubling = Flow("doubling").then(lambda number: number * 2, name="double").build()
    run_durable_workflow(doubling, "done", 1, backend)
    client.submit(parked, "waits")
    result = client.cancel_where(status="completed")
    assert result.done == 0
    error = result.errors["done"]
    assert isinstance(error, CommandRefusedError)
    assert error.rejection == "terminal"
    with pytest.raises(CommandRefusedError) as alone:
        client.cancel("done")
    assert str(error) == str(alone.value)
    assert client.cancel_where(until="0s") == BulkResult(done=1, errors={})


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"by": "updated"},
        {"attributes": {}, "workflow": None},
        {"status": "odd"},
        {"since": "soon"},
    ],
)
def test_nothing_is_sent_without_criteria_that_make_sense(
    backend: Backend, criteria: Criteria
) -> None:
    client = WorkflowClient(backend)
    client.submit(parked, "a")
    with pytest.raises(ValueError, match="expected"):
        client.cancel_where(**criteria)
    assert client.status("a").status == "awaiting_signal"


def test_what_progress_raises_ends_the_call(backend: Backend) -> None:
    client = WorkflowClient(backend)
    for number in range(3):
        client.submit(parked, f"p{number}")

    def stop(answered: int, total: int) -> None:
        raise InterruptedError(answered, total)

    with pytest.raises(InterruptedError):
        client.pause_where(workflow="parked", on_progress=stop)
    assert client.status("p0").status in ("paused", "awaiting_signal")


async def test_the_same_on_an_event_loop(tmp_path: Path) -> None:
    async with aio.WorkflowClient(EmbeddedBackend(tmp_path / "log.db")) as client:
        await asyncio.gather(*(client.submit(parked, f"p{n}") for n in range(5)))
        assert (await client.pause_where(workflow="parked")).done == 5
        assert (await client.retry_where(status="paused")).done == 0
        assert await client.count(status="paused") == 5


@pytest.mark.parametrize("by", ["started", "updated"])
async def test_an_instance_that_changes_between_two_pages_is_found_once(
    by: TimeName,
) -> None:
    backend = InMemoryBackend()
    async with aio.WorkflowClient(backend) as client:
        names = [f"p{number:03}" for number in range(ALL_PAGE + 20)]
        for name in names:
            await client.submit(parked, name)
        session = backend.new_session()
        await session.open()
        assert session.log.partitions == 1
        seen: list[str] = []
        async for status in iter_instances(session, 0, Search(since_ms=0, by=by)):
            if not seen:  # these are on the next page
                for name in names[:10]:
                    await client.send_signal(name, "other")
            seen.append(status.instance_id)
        assert seen == names[::-1]
        await session.close()

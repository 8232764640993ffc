"""Children of an instance are found by it, and those that are open are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es import EmbeddedBackend, Flow, InMemoryBackend, Worker, WorkflowClient
from sayiir_es.core.status.status import CHILDREN_MAX
from sayiir_es.operations.instance_view import instance_view
from tests.client.test_changed_workflows import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

LIMIT_S = 10.0
CHILD = Flow("child").wait_for_signal("go").build()
ONE = Flow("one").start_child(CHILD, id="{instance_id}-kid").build()
MANY_KIDS = CHILDREN_MAX + 3


def many() -> Any:
    flow: Any = Flow("many")
    for number in range(MANY_KIDS):
        flow.start_child(CHILD, name=f"n{number}", wait=False)
    return flow.wait_for_signal("end").build()


MANY = many()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with made:
        yield made


def ids(client: WorkflowClient, **criteria: Any) -> list[str]:
    return sorted(one.instance_id for one in client.list(**criteria))


def test_children_are_found_by_their_parent_open_and_ended(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([ONE, MANY]):
        for name in ("a", "b"):
            client.submit(ONE, name, 1)
        client.submit(CHILD, "alone", 1)
        client.submit(MANY, "m", 1)
        until(lambda: client.count(parent="m") == MANY_KIDS)
        until(lambda: ids(client, parent="a") == ["a-kid"])
        until(lambda: ids(client, parent="b") == ["b-kid"])
        assert ids(client, parent="nobody") == []
        assert ids(client, parent="") == []
        client.send_signal("a-kid", "go", None)
        client.wait("a", LIMIT_S)
        assert ids(client, parent="a") == ["a-kid"], "it has ended, and is found"
        assert ids(client, parent="a", status="completed") == ["a-kid"]
        assert client.count(parent="a", status="awaiting_signal") == 0
        assert client.count_by("status", parent="m") == {"awaiting_signal": MANY_KIDS}
    # Without an owner the log says the same, and so does a store that is opened again.
    assert ids(client, parent="b") == ["b-kid"]
    with Worker("again", backend).start([ONE, MANY]):
        until(lambda: ids(client, parent="b") == ["b-kid"])
        cancelled = client.cancel_where(parent="m")
        assert cancelled.done == MANY_KIDS


async def test_open_children_are_named_as_far_as_they_fit(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([ONE, MANY]):
        client.submit(ONE, "a", 1)
        client.submit(MANY, "m", 1)
        until(lambda: client.count(parent="m") == MANY_KIDS)
        until(lambda: client.count(parent="a") == 1)
        session = backend.new_session()
        await session.open()

        async def children_of(name: str) -> object:
            status = await session.find_status(name)
            assert status is not None
            return instance_view(status)["children"]

        assert await children_of("a") == ["a-kid"]
        named: Any = await children_of("m")
        assert len(named) == CHILDREN_MAX
        assert await children_of("a-kid") == []
        client.send_signal("a-kid", "go", None)
        client.wait("a", LIMIT_S)
        assert await children_of("a") == []
        await session.close()

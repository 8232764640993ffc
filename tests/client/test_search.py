"""Finding instances: by status, workflow, time and attributes, with what was told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Unpack

import pytest

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    InstancePage,
    Worker,
    WorkflowClient,
    aio,
    run_durable_workflow,
)
from sayiir_es.client.search import (
    Criteria,
    moment_ms,
    search_of,
)
from sayiir_es.core.model.rows import DictRows, Header
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.engine.requests.searching import TURN_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.client.backends import Backend

NOW_MS = 1_900_000_000_000


def double(number: int) -> int:
    return number * 2


def fail(number: int) -> int:
    raise ValueError(number)


doubling = Flow("doubling").then(double).build()
failing = Flow("failing").then(fail).build()
parked = Flow("parked").wait_for_signal("go").build()


@pytest.fixture(params=["memory", "file"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Backend = (
        InMemoryBackend()
        if request.param == "memory"
        else EmbeddedBackend(tmp_path / "log.db")
    )
    with backend:
        yield backend


@pytest.fixture
def client(backend: Backend) -> WorkflowClient:
    """A client of a log with four instances, of two customers."""
    run_durable_workflow(doubling, "a", 1, backend)
    run_durable_workflow(failing, "b", 1, backend)
    client = WorkflowClient(backend)
    client.submit(parked, "c", attributes={"customer": "42", "region": "eu"})
    client.submit(parked, "d", attributes={"customer": "42", "region": "us"})
    return client


def ids(client: WorkflowClient, **criteria: Unpack[Criteria]) -> list[str]:
    return [status.instance_id for status in client.list(**criteria)]


def test_the_last_started_are_listed_first(client: WorkflowClient) -> None:
    assert [status.instance_id for status in client.list()] == ["d", "c", "b", "a"]
    assert [status.instance_id for status in client.list(limit=2)] == ["d", "c"]


def test_by_status_and_workflow(client: WorkflowClient) -> None:
    assert ids(client, status="failed") == ["b"]
    assert ids(client, status="completed") == ["a"]
    assert ids(client, status="awaiting_signal") == ["d", "c"]
    assert ids(client, workflow="parked") == ["d", "c"]
    assert ids(client, workflow="parked", status="failed") == []


def test_by_attributes_all_of_which_must_be_there(client: WorkflowClient) -> None:
    statuses = client.list(attributes={"customer": "42"})
    assert [status.instance_id for status in statuses] == ["d", "c"]
    assert dict(statuses[0].attributes) == {"customer": "42", "region": "us"}
    assert client.count(attributes={"customer": "42", "region": "eu"}) == 1
    assert client.count(attributes={"customer": "4"}) == 0
    assert client.count(attributes={}) == 4


def test_by_the_time_of_the_start_or_of_the_last_event(client: WorkflowClient) -> None:
    started = client.status("c").started_at
    at = datetime.fromtimestamp(started / 1000, UTC)
    client.send_signal("a-later-one", "go")  # leaves a trace, and is no run
    later = client.submit(parked, "e").started_at
    assert later >= started
    assert client.count(since=at, until=at + timedelta(milliseconds=1)) >= 1
    assert "c" not in [status.instance_id for status in client.list(until=at)]
    assert client.count(since="1h") == 5
    assert client.count(until=timedelta(hours=1)) == 0
    client.pause("c", reason="why")
    assert client.list(by="updated")[0].instance_id == "c"
    changed = datetime.fromtimestamp(client.status("c").updated_at / 1000, UTC)
    newest = client.list(since=changed, by="updated")
    assert [status.instance_id for status in newest] == ["c"]


def test_what_a_client_was_told_is_in_its_answer(backend: Backend) -> None:
    client = WorkflowClient(backend)
    with Worker("w", backend).start([parked, doubling]):
        for number in range(20):
            client.submit(parked, f"i{number}", attributes={"n": str(number)})
            assert client.count() == number + 1
            assert client.count(attributes={"n": str(number)}) == 1
            client.cancel(f"i{number}")
            assert client.count(status="cancelled") == number + 1


def test_more_instances_than_one_turn_looks_at(backend: Backend) -> None:
    client = WorkflowClient(backend)
    most = TURN_ENTRIES + 10
    with Worker("w", backend).start([parked]):
        for number in range(most):
            client.submit(parked, f"i{number}")
    assert client.count(status="awaiting_signal") == most
    statuses = client.list(limit=most)
    assert len({status.instance_id for status in statuses}) == most
    times = [status.started_at for status in statuses]
    assert times == sorted(times, reverse=True)


async def test_the_same_on_an_event_loop(tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "log.db")
    async with aio.WorkflowClient(backend) as client:
        await client.submit(parked, "a", attributes={"customer": "42"})
        [status] = await client.list(attributes={"customer": "42"})
        assert status.instance_id == "a"
        assert await client.count(status="completed") == 0
        assert await client.count() == 1


def test_a_second_run_has_the_attributes_of_its_start(backend: Backend) -> None:
    WorkflowClient(backend).submit(parked, "a", attributes={"customer": "1"})
    client = WorkflowClient(backend, conflict_policy="terminate_existing")
    client.submit(parked, "a", attributes={"region": "eu"})
    assert client.count(attributes={"customer": "1"}) == 0
    assert client.count(attributes={"region": "eu"}) == 1


@pytest.mark.parametrize(
    "criteria",
    [
        {"status": "odd"},
        {"by": "size"},
        {"since": "soon"},
        {"until": ""},
        {"since": datetime(2030, 1, 1)},  # noqa: DTZ001 - that is the mistake
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    backend: Backend, criteria: Criteria
) -> None:
    client = WorkflowClient(backend)
    with pytest.raises(ValueError, match="expected"):
        ids(client, **criteria)


def test_a_signal_before_its_start_is_no_instance() -> None:
    rows = DictRows()
    rows.rows["h"] = Header(run=0, sequence=1, at=1, phase="unstarted")
    assert entry_of(rows, "i") is None


@pytest.mark.parametrize(
    ("when", "at_ms"),
    [
        ("10m", NOW_MS - 600_000),
        ("-10m", NOW_MS - 600_000),
        (timedelta(seconds=1), NOW_MS - 1000),
        ("2030-03-17T17:46:40Z", NOW_MS),
        ("2030-03-17T17:46:40", NOW_MS),
        ("2030-03-17T19:46:40+02:00", NOW_MS),
        ("2030-03-17", NOW_MS - 64_000_000),
        (datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC), NOW_MS),
        (
            datetime(2030, 3, 17, 19, 46, 40, tzinfo=timezone(timedelta(hours=2))),
            NOW_MS,
        ),
    ],
    ids=str,
)
def test_times_are_taken_as_people_give_them(
    when: datetime | timedelta | str, at_ms: int
) -> None:
    assert moment_ms(when, now_ms=NOW_MS) == at_ms
    assert search_of({"since": when}, now_ms=NOW_MS).since_ms == at_ms


def test_pages_follow_one_another_by_their_tokens(client: WorkflowClient) -> None:
    first = client.list_page(limit=3)
    assert isinstance(first, InstancePage)
    assert first.next_token is not None
    second = client.list_page(limit=3, token=first.next_token)
    assert second.next_token is None
    ids = [one.instance_id for one in (*first.instances, *second.instances)]
    assert ids == [one.instance_id for one in client.list()]
    matching = client.list_page(status="awaiting_signal", attributes={"region": "eu"})
    assert [one.instance_id for one in matching.instances] == ["c"]
    assert matching.next_token is None
    with pytest.raises(ValueError, match="token of a page, but 'nonsense'"):
        client.list_page(token="nonsense")  # noqa: S106 - of a page


def test_a_page_ends_when_time_is_up_and_the_next_one_looks_on(
    backend: Backend,
) -> None:
    client = WorkflowClient(backend)
    many = 3 * TURN_ENTRIES
    with Worker("w", backend).start([parked]):
        client.submit(parked, "first", attributes={"rare": "1"})
        client.submit_many(parked, [(f"i{number}", None) for number in range(many)])
        found: list[str] = []
        partial = 0
        page = client.list_page(limit=5, within=1e-9, attributes={"rare": "1"})
        while True:
            found += [one.instance_id for one in page.instances]
            partial += page.is_partial
            if page.next_token is None:
                break
            page = client.list_page(
                limit=5, within="1ms", token=page.next_token, attributes={"rare": "1"}
            )
        assert found == ["first"]
        assert partial >= 1
        # What is found at once comes as ever, and page by page nothing is left out.
        seen: list[str] = []
        token: str | None = None
        while True:
            page = client.list_page(limit=400, within="1s", token=token)
            seen += [one.instance_id for one in page.instances]
            token = page.next_token
            if token is None:
                break
        assert len(seen) == len(set(seen)) == many + 1
        assert seen == [one.instance_id for one in client.list(limit=many + 1)]


async def test_pages_on_the_callers_loop(
    client: WorkflowClient, backend: Backend
) -> None:
    async with aio.WorkflowClient(backend) as on_loop:
        page = await on_loop.list_page(limit=2, workflow="parked")
        assert [one.instance_id for one in page.instances] == ["d", "c"]
        assert page == client.list_page(limit=2, workflow="parked")

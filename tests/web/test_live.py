"""What pages that are open are told: each event once, also after they were cut off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, InMemoryBackend, aio
from sayiir_es.core.model.errors import BackendError, UsageError
from sayiir_es.web import live
from sayiir_es.web.live import LiveEvents, parse_place
from tests.captured_logs import capture_logs
from tests.web.browsers import browser, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.web.live import Changes

LIMIT_S = 20


def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()


@pytest.fixture
async def client() -> AsyncGenerator[aio.WorkflowClient]:
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [doubling]),
        ):
            yield client


@pytest.fixture
async def events(client: aio.WorkflowClient) -> AsyncGenerator[LiveEvents]:
    events = LiveEvents(client._get_session)  # pyright: ignore[reportPrivateUsage]
    yield events
    await events.close()


async def _kinds_until(
    changes: AsyncGenerator[Changes], kind: str
) -> tuple[list[str], str]:
    """The kinds that come until one is `kind`, and the place behind them."""
    kinds: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        async for change in changes:
            kinds += [mark.kind for mark in change.marks]
            if kind in kinds:
                return kinds, change.place
    raise AssertionError(kinds)


async def test_every_event_of_an_instance_is_told_once(
    client: aio.WorkflowClient, events: LiveEvents
) -> None:
    one, all_of = events.follow(instance_id="d-1"), events.follow()
    first = await anext(one)
    await anext(all_of)
    assert first.marks == ()
    assert not first.is_cut

    await client.run(doubling, "d-0", 1)
    await client.run(doubling, "d-1", 1)

    kinds, _ = await _kinds_until(one, "WorkflowCompleted")
    assert kinds[0] == "WorkflowStarted"
    assert kinds.count("WorkflowStarted") == kinds.count("TaskCompleted") == 1
    both: list[str | None] = []
    async with asyncio.timeout(LIMIT_S):
        async for change in all_of:
            both += [
                mark.instance_id
                for mark in change.marks
                if mark.kind == "WorkflowCompleted"
            ]
            if len(both) == 2:
                break
    assert sorted(map(str, both)) == ["d-0", "d-1"]
    await one.aclose()
    await all_of.aclose()


async def test_a_page_that_was_cut_off_is_told_what_it_missed(
    client: aio.WorkflowClient, events: LiveEvents
) -> None:
    changes = events.follow(instance_id="d-1")
    await anext(changes)
    await client.run(doubling, "d-1", 1)
    _, place = await _kinds_until(changes, "WorkflowCompleted")
    await changes.aclose()

    await client.run(doubling, "d-2", 1)
    for instance_id, is_told in (("d-1", False), ("d-2", True)):
        again = events.follow(instance_id=instance_id, after=place)
        missed = await anext(again)
        told = {mark.instance_id for mark in missed.marks}
        assert told == ({instance_id} if is_told else set())
        assert not missed.is_cut
        await again.aclose()


async def test_who_missed_too_much_is_told_to_load_anew(
    client: aio.WorkflowClient, events: LiveEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CAUGHT_UP_MAX", 2)
    await client.run(doubling, "d-1", 1)
    changes = events.follow(after="0:0")
    missed = await anext(changes)
    assert missed.is_cut
    await changes.aclose()


async def test_a_slow_page_is_told_that_all_may_have_changed(
    client: aio.WorkflowClient, events: LiveEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MARKS_MAX", 3)
    slow, fast = events.follow(), events.follow()
    await anext(slow)
    await anext(fast)
    await client.run(doubling, "d-1", 1)
    await _kinds_until(fast, "WorkflowCompleted")
    change = await anext(slow)
    assert change.is_cut
    await slow.aclose()
    await fast.aclose()


async def test_so_many_pages_may_listen_and_no_more(
    events: LiveEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SUBSCRIPTIONS_MAX", 1)
    first = events.follow()
    await anext(first)
    with pytest.raises(BackendError, match="at most 1 pages"):
        await anext(events.follow())
    await first.aclose()
    second = events.follow()
    await anext(second)
    await second.aclose()


def test_places_are_read_strictly() -> None:
    assert parse_place("", 8) == {}
    assert parse_place("0:41,3:-1", 8) == {0: 42, 3: 0}
    for wrong in ("0", "x:1", "0:x", "0:1,", "0:--1", f"0:{'9' * 30}"):
        with pytest.raises(UsageError, match="expected places such as"):
            parse_place(wrong, 8)
    with pytest.raises(UsageError, match="a partition below 8, but 8"):
        parse_place("8:0", 8)


@pytest.mark.parametrize("place", ["9" * 5000 + ":1", "0:" + "9" * 19, "0:--1", "٣:1"])
def test_a_place_of_hostile_digits_is_none(place: str) -> None:
    with pytest.raises(UsageError, match=r"expected places such as"):
        parse_place(place, 4)


async def test_a_page_that_cannot_be_served_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "SUBSCRIPTIONS_MAX", 0)
    async with serving() as app, browser(app) as client:
        with capture_logs() as lines:
            refused = await client.get("/live")
        assert "retry: 10000" in refused.text
        assert [line["event"] for line in lines] == ["live.interrupted"]
        wrong = await client.get("/live", params={"after": "9" * 5000 + ":1"})
        assert wrong.status_code == 422
        header = {"last-event-id": "0:1;2"}
        assert (await client.get("/live", headers=header)).status_code == 422

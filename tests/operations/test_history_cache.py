"""Histories that are kept: what came since is there, and what is kept is bounded."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio

import pytest

from sayiir_es import InMemoryBackend, aio
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.log.port import Topic
from sayiir_es.operations import history_cache
from sayiir_es.operations.history_cache import HistoryCache
from tests.cli.sample_workflows import approving, doubling

LIMIT_S = 20


async def test_what_came_since_is_read_and_nothing_twice() -> None:
    cache = HistoryCache()
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [approving, doubling]),
        ):
            session = client._get_session()
            await client.submit(approving, "a", 2)
            await client.run(doubling, "other", 1)
            first = await cache.read(session, "a")
            await client.send_signal("a", "go")
            await client.wait("a", "20s")
            second = await cache.read(session, "a")
    sequences = [entry.event.sequence for entry in second.events]
    assert sequences == list(range(1, second.last + 1))
    assert second.events[: len(first.events)] == first.events
    assert second.state().status is not None
    assert second.graph == approving.graph
    assert {entry.event.instance_id for entry in second.events} == {"a"}


async def test_an_index_is_used_again_when_much_has_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(history_cache, "INDEX_BEHIND", 0)
    cache = HistoryCache()
    with EmbeddedBackend(f"{tmp_path}/log.db") as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [approving]),
        ):
            session = client._get_session()
            await client.submit(approving, "a", 2)
            first = await cache.read(session, "a")
            await client.send_signal("a", "go")
            await client.wait("a", "20s")
            second = await cache.read(session, "a")
    assert second.last > first.last
    assert [entry.event.sequence for entry in second.events] == list(
        range(1, second.last + 1)
    )


async def test_what_is_kept_is_bounded_and_the_last_one_stays() -> None:
    cache = HistoryCache(instances_max=2, events_max=1_000)
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [doubling]),
        ):
            session = client._get_session()
            for name in "abc":
                await client.run(doubling, name, 1)
                assert (await cache.read(session, name)).last
            assert list(cache._kept) == ["b", "c"]
            with pytest.raises(NotFoundError, match="expected an instance 'nobody'"):
                await cache.read(session, "nobody")
            assert "nobody" not in cache._kept


async def test_a_read_that_takes_long_goes_on_behind_the_page() -> None:
    cache = HistoryCache()
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [doubling]),
        ):
            session = client._get_session()
            await client.run(doubling, "a", 1)
            kept = cache._kept.setdefault("a", history_cache._Kept())
            async with kept.lock:  # as another one reads
                assert await cache.read_within(session, "a", 0.01) is None
            found = await cache.read_within(session, "a", 20)
    assert found is not None
    assert found.last


async def test_a_read_says_how_far_it_is() -> None:
    cache = HistoryCache()
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [doubling]),
        ):
            session = client._get_session()
            await client.submit_many(doubling, [(f"i{n}", n) for n in range(100)])
            await client.run(doubling, "a", 1)
            assert cache.progress("a") == (0, 0)
            end = await session.log.end_offset(Topic.EVENTS, 0)
            reading = asyncio.create_task(cache.read(session, "a"))
            seen = list[tuple[int, int]]()
            while not reading.done():
                seen.append(cache.progress("a"))
                await asyncio.sleep(0)
            assert cache.progress("a") == (0, 0)
    begun = [one for one in seen if one != (0, 0)]
    assert begun
    assert begun == sorted(begun)
    assert all(read <= records == end for read, records in begun)


# With the last one it is looked for where it is not: clocks differed by more.
@pytest.mark.parametrize("differ_ms", [0, 60_000, -3_600_000])
async def test_of_a_log_that_knows_times_the_span_of_an_instance_is_read(
    monkeypatch: pytest.MonkeyPatch, differ_ms: int
) -> None:
    monkeypatch.setattr(history_cache, "INDEX_BEHIND", 10)
    monkeypatch.setattr(history_cache, "CLOCKS_DIFFER_MS", differ_ms)
    cache = HistoryCache()
    with InMemoryBackend() as backend:
        async with (
            aio.WorkflowClient(backend) as client,
            aio.Worker("w", backend, [doubling, approving]),
        ):
            session = client._get_session()
            await client.submit_many(doubling, [(f"a{n}", n) for n in range(700)])
            await client.wait("a699")
            await client.submit(approving, "held", 1)
            async with asyncio.timeout(LIMIT_S):
                while not await client.count(status="awaiting_signal"):  # noqa: ASYNC110 (it is asked)
                    await asyncio.sleep(0.01)
            held = await cache.read(session, "held")
            begun = cache._kept["held"].next_offset
            await client.submit_many(doubling, [(f"b{n}", n) for n in range(700)])
            await client.wait("b699")
            again = await cache.read(session, "held")
            assert again.events == held.events
            assert cache._kept["held"].next_offset == begun  # nothing was read
            await client.cancel("held")
            ended = await cache.read(session, "held")
            first = await cache.read(session, "a0")
            read_to = cache._kept["a0"].next_offset
            end = await session.log.end_offset(Topic.EVENTS, 0)
            assert read_to < end // 2
    assert [one.event.sequence for one in first.events] == list(
        range(1, len(first.events) + 1)
    )
    assert ended.events[: len(held.events)] == held.events
    assert ended.events[-1].event.kind == "WorkflowCancelled"

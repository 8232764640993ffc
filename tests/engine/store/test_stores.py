"""Every snapshot store keeps one contract."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import (
    Ask,
    Cursor,
    DebouncedStart,
    Limit,
    LimitSetting,
    Permit,
    QueuedRun,
    RunPermitMessage,
    StartQueueState,
)
from sayiir_es.core.model.waits import (
    AwaitingRunPermit,
    Debouncing,
    Granting,
    HoldingRunPermit,
)
from sayiir_es.engine.store.cache import CacheLimits
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore
from tests.engine.store.store_contract import (
    Model,
    assert_holds,
    header,
    running,
    sleeping,
    steps,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from sayiir_es.core.model.rows import Changes, Row
    from tests.engine.store.store_contract import Step, Store

IDENTITY = StoreIdentity(cluster_id="c", events_topic_id="t", partition=0, partitions=1)
NO_CACHE = CacheLimits(instances=0, total_bytes=0, instance_bytes=0)
"""Every clean instance leaves at every flush."""


def _memory() -> Callable[[Path], Store]:
    """Memory lives as long as its process: a path is only its name."""
    stores: dict[Path, MemoryStore] = {}
    return lambda path: stores.setdefault(path, MemoryStore())


def _rocks() -> Callable[[Path], Store]:
    return lambda path: RocksStore.open(path, IDENTITY)


def _rocks_without_cache() -> Callable[[Path], Store]:
    return lambda path: RocksStore.open(
        path, IDENTITY, limits=NO_CACHE, write_buffer_bytes=65_536
    )


ADAPTERS = {
    "memory": _memory,
    "rocks": _rocks,
    "rocks without a cache": _rocks_without_cache,
}


@pytest.fixture(params=sorted(ADAPTERS))
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[Store, None]:
    """A new store of each adapter, closed at the end."""
    opened = ADAPTERS[str(request.param)]()(tmp_path / "store")
    try:
        yield opened
    finally:
        await opened.close()


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@given(steps=steps)
@settings(max_examples=100, deadline=None)
def test_a_openedholds_what_was_applied_whatever_happens_between(
    adapter: str, steps: list[Step]
) -> None:
    asyncio.run(walk(ADAPTERS[adapter](), steps))


async def test_a_new_openedis_empty(store: Store) -> None:
    assert_holds(store, Model())
    assert store.rows("nobody").get("h") is None


async def test_rows_in_hand_follow_what_is_applied_later(store: Store) -> None:
    rows = store.rows("a")
    store.apply("a", running(1))
    store.advance(Position(offset=1))
    await store.flush()
    store.apply("a", running(2))
    assert rows.get("h") == running(2)["h"]
    store.advance(Position(offset=2))


async def test_an_instance_leaves_the_indexes_when_it_ends_and_comes_back(
    store: Store,
) -> None:
    store.apply("a", running(1))
    store.apply("a", {"cx": sleeping(7)})
    store.advance(Position(offset=1))
    await store.flush()
    store.apply("a", {"h": header(2, "failed")})
    store.advance(Position(offset=2))
    assert list(store.owing()) == []
    assert list(store.timers(99)) == []
    await store.flush()
    assert list(store.owing()) == []
    store.apply("a", {"h": header(3, "running")})
    store.advance(Position(offset=3))
    await store.flush()
    assert list(store.owing()) == ["a"]
    assert list(store.timers(99)) == [(7, "a", "x")]


async def test_a_limit_that_is_set_or_waited_for_is_found_and_wakes(
    store: Store,
) -> None:
    setting = LimitSetting(
        max_concurrency=None, rate="5/h", at=7, reason=None, requested_by="ana"
    )
    timer = Cursor(path="", input="", wait=Granting(due_at=70))
    store.apply("$limit/set", {"h": header(1, "unstarted"), "L=": setting})
    state = Limit(in_use=0, head=0, tail=1, rate="5/h", full_at_us=70_000)
    store.apply("$limit/waits", {"h": header(1, "unstarted"), "L": state, "c": timer})
    store.advance(Position(offset=1))
    for _ in range(2):
        assert list(store.with_permits()) == ["$limit/set", "$limit/waits"]
        assert list(store.timers(99)) == [(70, "$limit/waits", "")]
        assert store.rows("$limit/set").get("L=") == setting
        assert store.rows("$limit/waits").get("L") == state
        assert not list(store.owing())
        await store.flush()
    store.apply("$limit/set", {"L=": None})
    store.apply("$limit/waits", {"L": Limit(in_use=0, head=1, tail=1), "c": None})
    store.advance(Position(offset=2))
    assert not list(store.with_permits())
    assert not list(store.timers(99))


async def test_who_has_a_permit_is_found_until_it_is_released(store: Store) -> None:
    permit = Permit(path="work", ask=2)
    store.apply("a", running(1))
    store.apply("a", {"P7:k": permit, "P8:k": permit})
    store.apply("b", running(1))
    store.apply("$limit/k", {"h": header(1, "unstarted")})
    granted = Ask(holder="a", path="work", ask=2, limit=3)
    store.apply("$limit/k", {"L": Limit(in_use=1, head=0, tail=0), "L$7": granted})
    store.advance(Position(offset=1))
    assert list(store.with_permits()) == ["$limit/k", "a"]
    await store.flush()
    assert list(store.with_permits()) == ["$limit/k", "a"]
    store.apply("a", {"h": header(2, "completed"), "P7:k": None})
    store.apply("$limit/k", {"L": Limit(in_use=0, head=4, tail=4)})
    store.advance(Position(offset=2))
    assert list(store.with_permits()) == ["a"]
    await store.flush()
    assert list(store.with_permits()) == ["a"]
    assert list(store.owing()) == ["b"]
    store.apply("a", {"P8:k": None})
    store.advance(Position(offset=3))
    assert list(store.with_permits()) == []
    await store.flush(durable=True)
    assert list(store.with_permits()) == []
    assert store.rows("$limit/k").get("L$7") == granted


DEBOUNCED = DebouncedStart(
    command_id="c",
    start_id="i",
    workflow="w",
    input=b"1",
    first_at=5,
    definition_hash=None,
    conflict_policy="fail",
    attributes={"b": "1", "a": "2"},
    version=None,
    traceparent=None,
)


async def test_what_start_queues_and_debounces_owe_is_found_until_sent(
    store: Store,
) -> None:
    owed: dict[tuple[str, str], Row] = {
        ("a", "Q2:ask:w"): RunPermitMessage(
            kind="ask", other="w", ask=2, limit=3, queue_length=None
        ),
        ("$queue/w", "Q2:grant:a"): RunPermitMessage(kind="grant", other="a", ask=2),
        ("$debounce/w", "B7"): DEBOUNCED,
    }
    waiting = AwaitingRunPermit(key="w", limit=3, ask=2, since=4)
    holding = HoldingRunPermit(key="w", ask=2)
    kept: dict[str, Changes] = {
        "a": {
            "h": replace(header(1, "running"), queued=True),
            "c%queue": Cursor(path="", input="start", wait=waiting),
        },
        "b": {
            "h": header(1, "running"),
            "c%queue": Cursor(path="", input="start", wait=holding),
        },
        "$queue/w": {
            "h": header(1, "unstarted"),
            "U": StartQueueState(in_use=1, waiting=1, first=4, last=4, limit=3),
            "U#4": QueuedRun(holder="a", ask=2, before=0, after=0),
        },
        "$debounce/w": {
            "h": header(1, "unstarted"),
            "c%debounce": Cursor(path="", input="", wait=Debouncing(due_at=7)),
        },
    }
    for instance_id, changes in kept.items():
        store.apply(instance_id, changes)
    for (instance_id, key), row in owed.items():
        store.apply(instance_id, {key: row})
    store.advance(Position(offset=1))
    for is_flushed in (False, True):
        if is_flushed:
            await store.flush(durable=True)
        assert set(store.messages()) == set(owed)
        assert list(store.timers(99)) == [(7, "$debounce/w", "%debounce")]
        assert list(store.owing()) == ["b"]  # who waits in a queue owes nothing itself
        for instance_id, changes in kept.items():
            rows = store.rows(instance_id)
            assert {key: rows.get(key) for key in changes} == changes
    for (instance_id, key), row in owed.items():
        assert store.rows(instance_id).get(key) == row
        store.apply(instance_id, {key: None})
    store.advance(Position(offset=2))
    await store.flush()
    assert list(store.messages()) == []


async def test_many_rows_of_one_instance_are_all_found(store: Store) -> None:
    many: Changes = {f"vresult:{n}": b"%d" % n for n in range(5_000)}
    store.apply("a", {**running(1), **many})
    store.advance(Position(offset=1))
    await store.flush(durable=True)
    rows = store.rows("a")
    assert set(rows.keys("v")) == set(many)
    assert all(rows.get(key) == row for key, row in many.items())


async def test_many_instances_are_listed_in_order_behind_any(store: Store) -> None:
    ids = sorted(f"i{n}" for n in range(2_500))
    for instance_id in ids:
        store.apply(instance_id, running(1))
    store.advance(Position(offset=1))
    await store.flush()
    store.apply("i1000x", running(1))
    store.advance(Position(offset=2))
    ids = sorted([*ids, "i1000x"])
    assert list(store.instances()) == ids
    assert list(store.owing()) == ids
    for after in ("", "i1000", "i1000a", ids[-1]):
        expected = [each for each in ids if each > after]
        assert list(store.instances(after=after)) == expected


async def test_a_openedmay_be_changed_while_its_indexes_are_walked(
    store: Store,
) -> None:
    for number in range(2_500):
        store.apply(f"i{number:04}", running(1))
    store.advance(Position(offset=1))
    await store.flush()
    seen = 0
    for seen, instance_id in enumerate(store.owing(), start=1):
        store.apply(instance_id, {"h": header(2, "completed")})
        store.advance(Position(offset=1 + seen))
    assert seen == 2_500
    assert list(store.owing()) == []


async def test_rows_without_a_position_are_never_written(store: Store) -> None:
    store.apply("a", running(1))
    with pytest.raises(StoreError, match="expected a position"):
        await store.flush()
    store.advance(Position(offset=1))
    await store.flush()
    assert store.dirty_rows == 0


async def test_a_reset_openedis_empty_and_works(store: Store) -> None:
    store.apply("a", running(1))
    store.advance(Position(offset=1))
    await store.flush(durable=True)
    store.apply("b", running(1))
    await store.reset()
    assert_holds(store, Model())
    store.apply("c", running(1))
    store.advance(Position(offset=1))
    await store.flush(durable=True)
    assert list(store.instances()) == ["c"]

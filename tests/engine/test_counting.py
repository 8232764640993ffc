"""Counts from what a store counts are those of a look at each instance."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es import Flow, task
from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import Cursor, Header, Phase, Quarantine, Run
from sayiir_es.core.model.waits import Awaiting, Listening
from sayiir_es.core.status.search import STATUSES, Search
from sayiir_es.engine.definitions.code import Code, Stranding
from sayiir_es.engine.requests.searching import Searched, count, groups_of, newest
from sayiir_es.engine.store import memory
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks import listing
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.wire.searches import GROUPS
from tests.engine.store.crash_writer import IDENTITY
from tests.engine.store.store_contract import changes

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Changes
    from sayiir_es.core.model.waits import Wait
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.wire.searches import Groups


@task("charge")
def charge(order: object) -> object:
    """A task whose code the counting process may lack."""
    return order


ORDERS = Flow("orders").then(charge).wait_for_signal("approval").build()
NOW_MS = 1_000
PHASES: tuple[Phase, ...] = ("running", "paused", "quarantined", "completed")

times = st.integers(min_value=0, max_value=20)
runs = st.builds(
    Run,
    workflow=st.sampled_from(("orders", "refunds")),
    definition_hash=st.just("h"),
    graph_digest=st.sampled_from((ORDERS.graph.digest, "another")),
    attributes=st.sampled_from(({}, {"region": "eu"})),
    started_at=times,
    version=st.sampled_from((None, "2")),
)
waits: st.SearchStrategy[Wait] = st.sampled_from(
    (
        Awaiting(attempt=1, due=1),
        Awaiting(attempt=2, due=1, not_before=NOW_MS + 1),
        Listening(signal="approval", until_at=None, since=1),
    )
)
quarantines = st.builds(
    Quarantine,
    decided_on=st.just("an outcome"),
    error_type=st.sampled_from(("KeyError", "OSError")),
    error=st.just("no"),
)


@st.composite
def instance_changes(draw: st.DrawFn) -> Changes:
    """All rows of an instance, in any state that searches tell apart."""
    phase = draw(st.sampled_from(PHASES))
    wait = draw(waits)
    return {
        "h": Header(run=1, sequence=1, at=draw(times), phase=phase),
        "r": draw(runs),
        "c": Cursor(path="charge", input="start", wait=wait),
        "z": draw(quarantines) if phase == "quarantined" else None,
    }


def optional(*values: object) -> st.SearchStrategy[object]:
    """A criterion, more often none."""
    return st.one_of(st.none(), st.sampled_from(values))


searches = st.builds(
    Search,
    statuses=st.lists(st.sampled_from(STATUSES), max_size=2, unique=True).map(tuple),
    workflow=optional("orders"),
    attributes=st.sampled_from(({}, {}, {"region": "eu"})),
    since_ms=st.none() | times,
    until_ms=st.none() | times,
    by=st.sampled_from(("started", "updated")),
    order=st.sampled_from((None, "started", "updated")),
    error_type=optional("KeyError"),
    version=optional("2"),
    waiting_for=optional("task", "task:charge", "signal", "retry", "code:charge"),
    id_prefix=optional("a"),
)
histories = st.lists(
    st.tuples(st.sampled_from("abcdef"), instance_changes()), max_size=12
)
strandings = st.sampled_from(
    (
        None,
        Stranding(
            code=Code(digests=(), today=lambda _name, _version: None),
            by_digest={ORDERS.graph.digest: ORDERS.graph}.get,
        ),
        Stranding(
            code=Code(
                digests=(ORDERS.graph.digest,), today=lambda _name, _version: None
            ),
            by_digest={ORDERS.graph.digest: ORDERS.graph}.get,
        ),
    )
)


async def looked_at(searched: Searched, search: Search, by: Groups) -> Counter[str]:
    """A count by a look at each instance."""
    counts: Counter[str] = Counter()
    for entry in searched.store.entries():
        if searched.matches(search, entry):
            counts.update(groups_of(by, entry, searched.waited(entry)))
    return counts


async def check(
    store: SnapshotStore, search: Search, stranding: Stranding | None
) -> None:
    """Counts and pages are those of a look at each instance."""
    searched = Searched(store=store, stranding=stranding, now_ms=NOW_MS)
    for by in GROUPS:
        expected = await looked_at(searched, search, by)
        assert await count(searched, search, by) == expected
    matching = [one for one in store.entries() if searched.matches(search, one)]
    page = await newest(searched, search, 100, None)
    assert page.is_all
    at = "started_at" if search.sorted_by == "started" else "updated_at"
    assert page.found == sorted(
        ((getattr(one, at), one.instance_id) for one in matching), reverse=True
    )


@settings(max_examples=60, deadline=None)
@given(
    history=histories,
    searches=st.lists(searches, min_size=1, max_size=6),
    stranding=strandings,
    written=st.integers(0, 12),
)
def test_counts_and_pages_are_those_of_a_look_at_each_instance(
    history: list[tuple[str, Changes]],
    searches: list[Search],
    stranding: Stranding | None,
    written: int,
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as directory:
            rocks = RocksStore.open(Path(directory) / "store", IDENTITY)
            stores = (MemoryStore(), rocks)
            for number, (instance_id, changed) in enumerate(history):
                for store in stores:
                    store.apply(instance_id, changed)
                    store.advance(Position(offset=number + 1))
                if number == written:
                    await rocks.flush()
            for store in stores:
                for search in searches:
                    await check(store, search, stranding)
            await rocks.close()

    asyncio.run(run())


async def test_what_may_lack_code_is_not_taken_off_where_it_was_not_counted() -> None:
    store = MemoryStore()
    for instance_id, digest, at_ms in (
        ("with code", ORDERS.graph.digest, 5),
        ("without", "another", 15),
    ):
        run = Run(
            workflow="orders",
            definition_hash="h",
            graph_digest=digest,
            attributes={},
            started_at=1,
        )
        wait = Awaiting(attempt=1, due=1)
        store.apply(
            instance_id,
            {
                "h": Header(run=1, sequence=1, at=at_ms, phase="running"),
                "r": run,
                "c": Cursor(path="charge", input="start", wait=wait),
            },
        )
    code = Code(digests=(ORDERS.graph.digest,), today=lambda _name, _version: None)
    stranding = Stranding(code=code, by_digest={ORDERS.graph.digest: ORDERS.graph}.get)
    await check(store, Search(until_ms=10, by="updated"), stranding)
    await check(store, Search(by="updated"), stranding)


@given(
    history=st.lists(st.tuples(st.sampled_from("abc"), changes()), max_size=10),
    flushed=st.sets(st.integers(0, 9)),
)
@settings(max_examples=40, deadline=None)
def test_a_store_that_is_folded_again_is_the_same_byte_for_byte(
    history: list[tuple[str, Changes]], flushed: set[int]
) -> None:
    async def write(path: Path, flushed: set[int]) -> list[tuple[bytes, bytes]]:
        store = RocksStore.open(path, IDENTITY)
        for number, (instance_id, changed) in enumerate(history):
            store.apply(instance_id, changed)
            store.advance(Position(offset=number + 1))
            if number in flushed:
                await store.flush()
        await store.flush()
        database = store._database  # pyright: ignore[reportPrivateUsage]
        items = database.items(b"", b"\xff")
        await store.close()
        return items

    async def run() -> None:
        with TemporaryDirectory() as directory:
            step_by_step = await write(Path(directory) / "a", flushed)
            at_once = await write(Path(directory) / "b", set())
        assert step_by_step == at_once

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["memory", "rocks"])
async def test_more_groups_than_are_added_up_are_counted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(memory, "GROUPS_MAX", 1)
    monkeypatch.setattr(listing, "GROUPS_MAX", 1)
    store = (
        MemoryStore() if kind == "memory" else RocksStore.open(tmp_path / "s", IDENTITY)
    )
    for number, workflow in enumerate(("a", "b", "b")):
        run = Run(
            workflow=workflow,
            definition_hash="h",
            graph_digest="g",
            attributes={},
            started_at=number,
        )
        header = Header(run=1, sequence=1, at=number, phase="completed")
        store.apply(f"i{number}", {"h": header, "r": run})
        store.advance(Position(offset=number + 1))
    await store.flush()
    assert store.tally() is None
    searched = Searched(store=store, stranding=None, now_ms=NOW_MS)
    assert await count(searched, Search(), "workflow") == {"a": 1, "b": 2}
    await store.close()

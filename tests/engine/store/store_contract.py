"""What every snapshot store does, as a model and a walk.

The model is a dict of dicts, and its indexes are full scans that know nothing of how a
store keeps its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from hypothesis import strategies as st

from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    DictRows,
    Ending,
    Header,
    Phase,
    Request,
    Row,
    Run,
)
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Failure,
    Inside,
    Listening,
    Looping,
    Routing,
    Sleeping,
)
from sayiir_es.core.status.list_entry import (
    entry_of,
    group_of,
    place_of,
    updated_place_of,
)
from sayiir_es.core.status.search import TIMES
from sayiir_es.engine.store.port import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.rows import Changes
    from sayiir_es.core.status.list_entry import ListEntry
    from sayiir_es.core.status.search import TimeName


class Store(SnapshotStore, Protocol):
    """The port, and what both adapters have beside it."""

    @property
    def dirty_rows(self) -> int:
        """How many changes are not yet written."""
        ...

    @property
    def dirty_bytes(self) -> int:
        """About how many bytes they are."""
        ...

    async def reset(self) -> None:
        """Start again, empty."""
        ...


# --- rows -----------------------------------------------------------------------------

PHASES: tuple[Phase, ...] = ("unstarted", "running", "paused", "completed", "failed")
IDS = ("a", "a\x00", "a\x00b", "a\x01", "a/b", "ä", "🦆", "x" * 256, "\x00", "\uffff")
CHAINS = ("", "fork", "fork/a", "loop_0@3", "ä")
FAILURE = Failure(error_type="E", error="é\x00", timed_out=False)

times = st.integers(min_value=0, max_value=200)
requests = st.none() | st.builds(
    Request, reason=st.none() | st.text(max_size=3), requested_by=st.just("me")
)
headers = st.builds(
    Header,
    run=st.integers(1, 3),
    sequence=st.integers(1, 2**62),
    at=times,
    phase=st.sampled_from(PHASES),
    cancel=requests,
    buffered=st.integers(0, 2),
)
waits = st.one_of(
    st.builds(
        Awaiting,
        attempt=st.integers(1, 3),
        due=times,
        not_before=times,
        deadline_at=st.none() | times,
        failure=st.sampled_from((None, FAILURE)),
    ),
    st.builds(Sleeping, due_at=times),
    st.builds(Listening, signal=st.just("s"), until_at=st.none() | times, since=times),
    st.builds(Ended, result=st.just("result:a")),
    st.builds(Broken, failure=st.just(FAILURE)),
    st.builds(Branching, left=st.integers(1, 9)),
    st.builds(Routing, key=st.just("k"), branch=st.just("b")),
    st.builds(Looping, iteration=st.integers(0, 9)),
    st.just(Inside()),
)
cursors = st.builds(Cursor, path=st.just("a/b"), input=st.just("start"), wait=waits)
endings = st.builds(Ending, path=st.just("a"), interrupted_at=st.just(("a", "b")))
runs = st.builds(
    Run,
    workflow=st.just("w"),
    definition_hash=st.just("d"),
    graph_digest=st.just("g"),
    attributes=st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=3),
    started_at=times,
)


others: dict[str, st.SearchStrategy[Row]] = {
    "r": runs,
    "e": endings,
    "vresult:a": st.binary(max_size=40),
    "bs": st.lists(st.integers(0, 9), max_size=3).map(tuple),
    "mid": st.integers(0, 2**40),
    "k1": st.text(max_size=5),
}
some_chains = st.sets(st.sampled_from(CHAINS), max_size=3)
some_others = st.sets(st.sampled_from(sorted(others)), max_size=3)


@st.composite
def changes(draw: st.DrawFn) -> Changes:
    """Changes as `evolve` makes them: always with a header."""
    drawn: Changes = {"h": draw(headers)}
    for chain in sorted(draw(some_chains)):
        drawn["c" + chain] = draw(st.none() | cursors)
    for key in sorted(draw(some_others)):
        drawn[key] = draw(st.none() | others[key])
    return drawn


# --- the model ------------------------------------------------------------------------


@dataclass(slots=True)
class Model:
    """What a store should hold."""

    rows: dict[str, dict[str, Row]] = field(default_factory=dict[str, "dict[str, Row]"])
    position: Position = field(default_factory=Position)

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Take changes over."""
        rows = self.rows.setdefault(instance_id, {})
        for key, row in changes.items():
            rows.pop(key, None)
            if row is not None:
                rows[key] = row

    def live(self) -> dict[str, dict[str, Row]]:
        """The instances that have not ended."""
        return {
            instance_id: rows
            for instance_id, rows in self.rows.items()
            if isinstance(header := rows.get("h"), Header)
            and header.phase not in TERMINAL
        }

    def owing(self) -> list[str]:
        """By a full scan."""
        return [
            instance_id
            for instance_id, rows in sorted(self.live().items())
            if any(_owes(row) for row in rows.values())
        ]

    def timers(self, until_ms: int) -> list[tuple[int, str, str]]:
        """By a full scan."""
        return sorted(
            (due_at, instance_id, key[1:])
            for instance_id, rows in self.live().items()
            for key, row in rows.items()
            if isinstance(row, Cursor)
            and (due_at := _time(row)) is not None
            and due_at <= until_ms
        )

    def entries(self, by: TimeName = "started") -> list[ListEntry]:
        """By a full scan."""
        place = place_of if by == "started" else updated_place_of
        entries = [
            entry
            for instance_id, rows in self.rows.items()
            if (entry := entry_of(DictRows(dict(rows)), instance_id)) is not None
            and (by == "started" or entry.status != "in_progress")
        ]
        return sorted(entries, key=place, reverse=True)


def _owes(row: Row) -> bool:
    match row:
        case Header():
            is_requested = row.cancel is not None or row.pause is not None
            return row.buffered > 0 or (is_requested and row.phase == "running")
        case Cursor():
            return not isinstance(row.wait, Sleeping | Listening)
        case _:
            return False


def _time(cursor: Cursor) -> int | None:
    match cursor.wait:
        case Awaiting(deadline_at=None, not_before=0):
            return None
        case Awaiting(deadline_at=None, not_before=at_ms):
            return at_ms
        case Awaiting(deadline_at=at_ms) | Listening(until_at=at_ms):
            return at_ms
        case Sleeping(due_at=at_ms):
            return at_ms
        case _:
            return None


def assert_holds(store: Store, model: Model) -> None:
    """The store holds what the model holds."""
    assert store.position == model.position
    assert list(store.instances()) == sorted(i for i, r in model.rows.items() if r)
    assert list(store.owing()) == model.owing()
    for until_ms in (-1, 0, 100, 10**15):
        assert list(store.timers(until_ms)) == model.timers(until_ms)
    assert list(store.entries()) == model.entries()
    assert store.tally() == Counter(map(group_of, model.entries()))
    for by in TIMES:
        assert_lists(store, model.entries(by), by)
    for instance_id, expected in model.rows.items():
        rows = store.rows(instance_id)
        for prefix in ("", "c", "cfork", "v", "zz"):
            keys = list(rows.keys(prefix))
            assert sorted(keys) == sorted(k for k in expected if k.startswith(prefix))
        assert {key: rows.get(key) for key in rows.keys("")} == expected
        assert rows.get("absent") is None


def assert_lists(store: Store, entries: list[ListEntry], by: TimeName) -> None:
    """The store lists these, in that order, behind any of them and in any status."""
    place = place_of if by == "started" else updated_place_of
    for status in (None, *{entry.status for entry in entries}, "cancelled"):
        expected = [one for one in entries if status in (None, one.status)]
        assert list(store.entries(by=by, status=status)) == expected
        for entry in entries:
            behind = [one for one in expected if place(one) < place(entry)]
            listed = store.entries(by=by, status=status, before=place(entry))
            assert list(listed) == behind


# --- the contract ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Apply and advance."""

    instance_id: str
    changes: Changes


Step: TypeAlias = Apply | Literal["flush", "flush durably", "reopen", "look"]

steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Apply, instance_id=st.sampled_from(IDS), changes=changes()),
        st.sampled_from(("flush", "flush durably", "reopen", "look")),
    ),
    max_size=30,
)


def running(sequence: int, *, phase: Phase = "running") -> Changes:
    """A small change of an instance that awaits an attempt."""
    wait = Awaiting(attempt=1, due=sequence)
    return {
        "h": Header(run=1, sequence=sequence, at=sequence, phase=phase),
        "c": Cursor(path="a", input="start", wait=wait),
    }


def header(sequence: int, phase: Phase) -> Header:
    """A header in that phase."""
    return Header(run=1, sequence=sequence, at=sequence, phase=phase)


def sleeping(due_at: int) -> Cursor:
    """A cursor in a delay."""
    return Cursor(path="x/y", input="start", wait=Sleeping(due_at=due_at))


async def walk(open_store: Callable[[Path], Store], steps: list[Step]) -> None:
    """Take the steps with a store and with the model."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "store"
        store, model = open_store(path), Model()
        for step in steps:
            match step:
                case Apply():
                    model.apply(step.instance_id, step.changes)
                    store.apply(step.instance_id, step.changes)
                    model.position = Position(offset=model.position.offset + 1)
                    store.advance(model.position)
                case "flush":
                    await store.flush()
                case "flush durably":
                    await store.flush(durable=True)
                case "reopen":
                    await store.close()
                    store = open_store(path)
                case "look":
                    assert_holds(store, model)
        assert_holds(store, model)
        await store.close()

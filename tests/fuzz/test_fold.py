"""Mutated histories through the fold: it stops and says where, or goes on; never else.

One record of a partition is other bytes, has other headers, is another event, stands
twice, or is missing. Whatever comes of it, the rows are those of the position beside
them, each can be stored, and the state can be told. Where the fold stops, `audit
verify`, which shares no code with it, finds something wrong as well.
"""

from __future__ import annotations

import contextlib
from dataclasses import fields, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.errors import EncodeError, HistoryError
from sayiir_es.core.status.status import status_of
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.rocks.codec import decode_row, encode_position, encode_row
from sayiir_es.log.port import Chunk, Record
from sayiir_es.wire.events import decode_event
from tests.audit.instance_logs import (
    commands_of,
    events_of,
    record,
    records_of,
    verified,
)
from tests.audit.random_instances import random_instance
from tests.fuzz.fuzzing import bounded_memory
from tests.fuzz.mutation import mutated
from tests.fuzz.store_decoders import IDENTITY
from tests.fuzz.test_decoders import SEED

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

LIVES, LIVES_LONG = 50, 2_000
CHANGES_EACH = 25

ODD_TEXTS = ("", "i", "x", "a/b@3", "loop_0@9", "start", "result:", "\x00", "command:")
ODD_CAUSES = (
    *("command:", "command:x@1", "command:0@-1", "command:0@2<1", "command:0@9<7@"),
    *("takeover:x", "timer:", "outcome:a#b", "command:0@99999999999999999999"),
)
ODD_NUMBERS = (-(2**63), -1, 0, 1, 2, 7, 2**31 - 1, 2**63 - 1)


def other_value(name: str, value: object, chance: Random) -> object:
    """A value of the same type that no owner would have written there."""
    match value:
        case bool():
            return not value
        case int():
            return chance.choice(ODD_NUMBERS)
        case str():
            return chance.choice(ODD_CAUSES if name == "cause" else ODD_TEXTS)
        case bytes():
            return chance.choice((b"", b"null", b"\xff", b"{"))
        case tuple():
            return ()
        case _:
            return value


def other_event(found: Record, chance: Random) -> Record:
    """Another event under the same claim, well written."""
    event = decode_event(found.value or b"")
    body: Any = event.body
    owner: Any = chance.choice((event, body))
    names = [field.name for field in fields(owner) if field.name != "body"]
    if owner is event:
        names.remove("claim")
    if not names:
        return found
    name = chance.choice(names)
    changed = replace(owner, **{name: other_value(name, getattr(owner, name), chance)})
    try:
        return record(
            found.offset, changed if owner is event else replace(event, body=changed)
        )
    except EncodeError:
        return found  # beyond the 32 bits of its field: it cannot be written at all


def other_bytes(found: Record, chance: Random) -> Record:
    """Damaged bytes under sound headers."""
    return replace(found, value=mutated((found.value or b"",), chance))


def other_headers(found: Record, chance: Random) -> Record:
    """One header is gone, there twice, or says something else."""
    headers = list(found.headers)
    at = chance.randrange(len(headers))
    name, value = headers[at]
    match chance.randrange(3):
        case 0:
            del headers[at]
        case 1:
            headers.append(headers[at])
        case _:
            headers[at] = (name, mutated((value,), chance))
    return replace(found, headers=tuple(headers))


def changed(records: list[Record], chance: Random) -> list[Record]:
    """The same history with one thing wrong."""
    at = chance.randrange(len(records))
    done = list(records)
    match chance.randrange(8):
        case 0:
            del done[at]
        case 1:
            done.insert(at, done[at])
        case 2:
            done.insert(chance.randrange(len(done)), done.pop(at))
        case 3 | 4:
            done[at] = other_bytes(done[at], chance)
        case 5:
            done[at] = other_headers(done[at], chance)
        case _:
            done[at] = other_event(done[at], chance)
    return [replace(found, offset=offset) for offset, found in enumerate(done)]


def folded(records: list[Record]) -> tuple[MemoryStore, HistoryError | None]:
    """What comes of folding them, and why it stopped."""
    store = MemoryStore()
    chunk = Chunk(start=0, end=len(records), records=records)
    try:
        Fold(store, 0).apply(chunk)
    except HistoryError as error:
        return store, error
    return store, None


def rows_of(store: MemoryStore) -> dict[tuple[str, str], bytes]:
    """Every row as a store in a directory would hold it."""
    found: dict[tuple[str, str], bytes] = {}
    for instance_id in store.instances():
        rows = store.rows(instance_id)
        for key in rows.keys(""):
            row = rows.get(key)
            if row is not None:
                found[instance_id, key] = encode_row(row)
                assert decode_row(found[instance_id, key]) == row
    return found


def check(records: list[Record], graph: Graph, commands: list[int]) -> bool:
    """Whether the fold stopped; all that must hold, holds."""
    violations = verified(records, graph, commands)
    store, error = folded(records)
    offset = store.position.offset
    rows = rows_of(store)
    encode_position(IDENTITY, store.position)
    for instance_id in store.instances():
        status_of(store.rows(instance_id), instance_id, graph)
    if error is None:
        assert offset == len(records)
        return False
    assert f"0@{offset}" in str(error) or f"offset {offset}" in str(error)
    before, none = folded(records[:offset])
    assert none is None
    assert before.position == store.position
    assert rows_of(before) == rows
    assert violations
    return True


def fold_lives(seed: str, lives: int) -> None:
    """Fold so many lives, each with one thing wrong, many times over."""
    stopped = went_on = 0
    for number in range(lives):
        chance = Random(f"fold {seed} {number}")  # noqa: S311
        life = random_instance(chance.randrange(2**32))
        events = events_of(life)
        records, commands = records_of(events), commands_of(events)
        if not records:
            continue
        with bounded_memory():
            for _ in range(CHANGES_EACH):
                wrong = changed(records, chance)
                with contextlib.ExitStack() as told:
                    told.callback(print, f"life {number} of SAYIIR_FUZZ_SEED={seed}")
                    stops = check(wrong, life.graph, commands)
                    told.pop_all()
                stopped += stops
                went_on += not stops
    print(f"SAYIIR_FUZZ_SEED={seed}: {stopped} stopped, {went_on} went on")  # noqa: T201
    assert stopped
    assert went_on


def test_a_history_with_one_thing_wrong_stops_the_fold_or_is_folded() -> None:
    fold_lives(SEED, LIVES)


@pytest.mark.long
def test_many_histories_with_one_thing_wrong_stop_the_fold_or_are_folded() -> None:
    fold_lives(SEED, LIVES_LONG)


@pytest.mark.parametrize("cause", [c for c in ODD_CAUSES if c.startswith("command:")])
def test_a_command_named_as_no_owner_names_it_stops_the_fold(cause: str) -> None:
    claim, event, *_ = events_of(random_instance(1))
    found = [claim, replace(event, cause=cause)]
    _, error = folded(records_of(found))
    assert str(error) == (
        f"expected `cause` to name a command at offset 1, but {event.kind} says "
        f"{cause!r}"
    )

"""Folds damaged histories: the fold stops and says where, or goes on, nothing else.

One record of a partition has other bytes, other headers, another event, is there twice,
or is missing. Afterwards the rows are always those of the stored position, each can be
stored, and the status can be read. Where the fold stops, `audit verify`, which shares
no code with it, reports a violation as well.
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
from tests.fuzz.fuzzer import bounded_memory
from tests.fuzz.mutation import mutated
from tests.fuzz.store_decoders import IDENTITY
from tests.fuzz.test_decoders import SEED

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

INSTANCES, INSTANCES_LONG = 50, 2_000
CHANGES_EACH = 25

ODD_TEXTS = ("", "i", "x", "a/b@3", "loop_0@9", "start", "result:", "\x00", "command:")
ODD_CAUSES = (
    *("command:", "command:x@1", "command:0@-1", "command:0@2<1", "command:0@9<7@"),
    *("takeover:x", "timer:", "outcome:a#b", "command:0@99999999999999999999"),
)
ODD_NUMBERS = (-(2**63), -1, 0, 1, 2, 7, 2**31 - 1, 2**63 - 1)


def other_value(name: str, value: object, chance: Random) -> object:
    """Return a value of the same type that no owner would have written there."""
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


def other_event(original: Record, chance: Random) -> Record:
    """Return another event of the same claim, encoded correctly."""
    event = decode_event(original.value or b"")
    body: Any = event.body
    owner: Any = chance.choice((event, body))
    names = [field.name for field in fields(owner) if field.name != "body"]
    if owner is event:
        names.remove("claim")
    if not names:
        return original
    name = chance.choice(names)
    changed = replace(owner, **{name: other_value(name, getattr(owner, name), chance)})
    try:
        return record(
            original.offset,
            changed if owner is event else replace(event, body=changed),
        )
    except EncodeError:
        return original  # beyond the 32 bits of its field: it cannot be written at all


def other_bytes(original: Record, chance: Random) -> Record:
    """Return damaged bytes with correct headers."""
    return replace(original, value=mutated((original.value or b"",), chance))


def other_headers(original: Record, chance: Random) -> Record:
    """Return it with one header missing, repeated, or changed."""
    headers = list(original.headers)
    at = chance.randrange(len(headers))
    name, value = headers[at]
    match chance.randrange(3):
        case 0:
            del headers[at]
        case 1:
            headers.append(headers[at])
        case _:
            headers[at] = (name, mutated((value,), chance))
    return replace(original, headers=tuple(headers))


def change_one(records: list[Record], chance: Random) -> list[Record]:
    """Return the same history with one thing wrong."""
    at = chance.randrange(len(records))
    changed = list(records)
    match chance.randrange(8):
        case 0:
            del changed[at]
        case 1:
            changed.insert(at, changed[at])
        case 2:
            changed.insert(chance.randrange(len(changed)), changed.pop(at))
        case 3 | 4:
            changed[at] = other_bytes(changed[at], chance)
        case 5:
            changed[at] = other_headers(changed[at], chance)
        case _:
            changed[at] = other_event(changed[at], chance)
    return [replace(one, offset=offset) for offset, one in enumerate(changed)]


def fold(records: list[Record]) -> tuple[MemoryStore, HistoryError | None]:
    """Return the store after folding them, and the error that stopped it, if any."""
    store = MemoryStore()
    chunk = Chunk(start=0, end=len(records), records=records)
    try:
        Fold(store, 0, 8).apply(chunk)
    except HistoryError as error:
        return store, error
    return store, None


def rows_of(store: MemoryStore) -> dict[tuple[str, str], bytes]:
    """Return every row in the bytes of a store on disk."""
    rows_by_key: dict[tuple[str, str], bytes] = {}
    for instance_id in store.instances():
        rows = store.rows(instance_id)
        for key in rows.keys(""):
            row = rows.get(key)
            if row is not None:
                rows_by_key[instance_id, key] = encode_row(row)
                assert decode_row(rows_by_key[instance_id, key]) == row
    return rows_by_key


def check(records: list[Record], graph: Graph, commands: list[int]) -> bool:
    """Return whether the fold stopped, after checking what must hold either way."""
    violations = verified(records, graph, commands)
    store, error = fold(records)
    offset = store.position.offset
    rows = rows_of(store)
    encode_position(IDENTITY, store.position)
    for instance_id in store.instances():
        status_of(store.rows(instance_id), instance_id, graph)
    if error is None:
        assert offset == len(records)
        return False
    assert f"0@{offset}" in str(error) or f"offset {offset}" in str(error)
    before, none = fold(records[:offset])
    assert none is None
    assert before.position == store.position
    assert rows_of(before) == rows
    assert violations
    return True


def fold_instances(seed: str, count: int) -> None:
    """Fold `count` random instances, many times, each time with one thing wrong."""
    stopped = went_on = 0
    for number in range(count):
        chance = Random(f"fold {seed} {number}")  # noqa: S311
        instance = random_instance(chance.randrange(2**32))
        events = events_of(instance)
        records, commands = records_of(events), commands_of(events)
        if not records:
            continue
        with bounded_memory():
            for _ in range(CHANGES_EACH):
                wrong = change_one(records, chance)
                with contextlib.ExitStack() as on_failure:
                    on_failure.callback(
                        print, f"instance {number} of SAYIIR_FUZZ_SEED={seed}"
                    )
                    stops = check(wrong, instance.graph, commands)
                    on_failure.pop_all()
                stopped += stops
                went_on += not stops
    print(f"SAYIIR_FUZZ_SEED={seed}: {stopped} stopped, {went_on} went on")  # noqa: T201
    assert stopped
    assert went_on


def test_a_history_with_one_thing_wrong_stops_the_fold_or_is_folded() -> None:
    fold_instances(SEED, INSTANCES)


@pytest.mark.long
def test_many_histories_with_one_thing_wrong_stop_the_fold_or_are_folded() -> None:
    fold_instances(SEED, INSTANCES_LONG)


@pytest.mark.parametrize("cause", [c for c in ODD_CAUSES if c.startswith("command:")])
def test_a_command_named_as_no_owner_names_it_stops_the_fold(cause: str) -> None:
    claim, event, *_ = events_of(random_instance(1))
    events = [claim, replace(event, cause=cause)]
    _, error = fold(records_of(events))
    assert str(error) == (
        f"expected `cause` to name a command at offset 1, but {event.kind} says "
        f"{cause!r}"
    )

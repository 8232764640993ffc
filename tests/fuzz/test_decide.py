"""Decides on random inputs over rows that no owner would have: one instance's trouble.

The rows of a random life are damaged: some are gone, some are another's, some hold odd
values. Whatever the input, `Batch.decide` gives a decision, or a quarantine, or a
rejected command; never an error. What it gives can be written, read and folded.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, get_args

import pytest

from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.events import CommandRejected, InstanceQuarantined
from sayiir_es.core.model.inputs import (
    Commanded,
    DecisionFailed,
    Outcome,
    OutcomeResult,
    ResumeCut,
    SlotTaken,
    SourceHistory,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import Cursor, DictRows, Header, Row
from sayiir_es.core.model.waits import Failure, Wait
from sayiir_es.engine.owner.batch import Batch
from sayiir_es.engine.owner.event_encoder import EventEncoder
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.wire.events import decode_event
from tests.audit.random_instances import RandomInstance, random_instance
from tests.captured_logs import capture_logs
from tests.core.instance_runner import OneGraph, fold
from tests.fuzz.test_decoders import SEED
from tests.wire.examples import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.inputs import Input

PAIRS, PAIRS_LONG = 20_000, 1_000_000
PAIRS_A_LIFE, PAIRS_A_PREFIX = 250, 10

TEXTS = ("", "i", "n0", "a/b@3", "loop_0@9", "start", "result:", "result:n0", "null")
ODD_TEXTS = (*TEXTS, "joined:", "routed:x", "signal:0", "\x00", "@", "\ud800", "%zz")
NUMBERS = (-(2**63), -1, 0, 1, 2, 7, 2**31 - 1, 2**40, 2**63 - 1, 2**70)
PAYLOADS = (
    *(b"", b"null", b"\xff", b"{", b'"a"', b'"\\ud800"', b"7"),
    *(b"[" * 100_000, b'"' + b"a" * 300_000 + b'"', '"x"'.encode("utf-16")),
)
KEPT = frozenset({"run", "sequence", "at", "graph_digest"})
"""An instance's own counters, and what names its graph: without these nothing can be
said of it at all."""


def odd_value(value: object, chance: Random) -> object:
    """Return a value of the same type, that means nothing."""
    match value:
        case bool():
            return not value
        case int():
            return chance.choice(NUMBERS)
        case str():
            return chance.choice(ODD_TEXTS)
        case bytes():
            return chance.choice(PAYLOADS)
        case tuple():
            return chance.choice(((), (1, 1), (-1,), (2**70,)))
        case Cursor():
            return odd_cursor(value, chance)
        case _ if is_dataclass(value):
            return odd_record(value, chance)
        case _:
            return value


def odd_record(record: Any, chance: Random) -> Any:
    """Return a record with some fields that mean nothing."""
    names = [field.name for field in fields(record) if field.name not in KEPT]
    if not names:
        return record
    chosen = chance.sample(names, min(len(names), chance.choice((1, 1, 2))))
    changes = {name: odd_value(getattr(record, name), chance) for name in chosen}
    if isinstance(record, Header) and "phase" in changes:
        changes["phase"] = chance.choice(("running", "paused", "quarantined"))
    return replace(record, **changes)


def odd_cursor(cursor: Cursor, chance: Random) -> Cursor:
    """Return a cursor that waits for what its node never does."""
    if chance.random() < 0.5:
        return replace(cursor, wait=some(chance.choice(get_args(Wait)), chance))
    return replace(cursor, wait=odd_record(cursor.wait, chance))


def some(record: Any, chance: Random) -> Any:
    """Return a record whose fields mean nothing, each of the type that it has."""
    values: dict[str, object] = {}
    for field in fields(record):
        kind = str(field.type)
        if "Failure" in kind:
            values[field.name] = Failure(
                error_type=chance.choice(ODD_TEXTS),
                error=chance.choice(ODD_TEXTS) * 10_000,
                timed_out=False,
            )
        else:
            numbers = "int" in kind
            values[field.name] = chance.choice(NUMBERS if numbers else ODD_TEXTS)
    return record(**values)


def damaged(rows: dict[str, Row], chance: Random) -> dict[str, Row]:
    """Return the rows with some gone, exchanged, or odd."""
    rows = dict(rows)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        keys = [key for key in rows if key not in ("h", "r")]
        if not keys:
            break
        key, other = chance.choice(keys), chance.choice(keys)
        match chance.randrange(4):
            case 0:
                del rows[key]
            case 1 if key[0] == other[0]:
                rows[key], rows[other] = rows[other], rows[key]
            case _:
                key = chance.choice((key, "h"))
                row: Any = odd_value(rows[key], chance)
                rows[key] = row
    return rows


def random_input(rows: dict[str, Row], chance: Random) -> Input:
    """Return any input: often of what the rows have, now and then of nothing."""
    cursors = [row for row in rows.values() if isinstance(row, Cursor)]
    cursor = chance.choice(cursors) if cursors else None
    path = cursor.path if cursor else chance.choice(TEXTS)
    attempt = getattr(cursor.wait, "attempt", 1) if cursor else 1
    header = rows.get("h")
    run = header.run if isinstance(header, Header) else 1
    makers: tuple[Callable[[], Input], ...] = (
        lambda: random_command(chance),
        lambda: random_outcome(run, path, attempt, chance),
        lambda: TimerDue(
            instance_id="i",
            chain=path.rpartition("/")[0],
            due_at=getattr(cursor.wait, "due_at", 0) if cursor else 0,
        ),
        lambda: SlotTaken(
            instance_id="i",
            run=run,
            path=path,
            attempt=attempt,
            restart=chance.random() < 0.5,
        ),
        lambda: TakenOver(instance_id="i"),
        lambda: ResumeCut(instance_id="i"),
        lambda: DecisionFailed(
            instance_id="i",
            decided_on=chance.choice(ODD_TEXTS),
            error_type=chance.choice(ODD_TEXTS) * 1_000,
            error=chance.choice(ODD_TEXTS) * 10_000,
        ),
    )
    return chance.choice(makers)()


def random_outcome(run: int, path: str, attempt: int, chance: Random) -> Outcome:
    """Return an outcome of an attempt that is awaited, or of none."""
    return Outcome(
        instance_id="i",
        run=run,
        path=path if chance.random() < 0.9 else chance.choice(ODD_TEXTS),
        attempt=attempt,
        result=chance.choice(get_args(OutcomeResult)),
        output=chance.choice((None, *PAYLOADS)),
        loop=chance.choice(("none", "again", "done")),
        error_type=chance.choice(ODD_TEXTS),
        error=chance.choice(ODD_TEXTS) * 10_000,
        retriable=chance.random() < 0.5,
        worker=chance.choice(ODD_TEXTS),
    )


def random_command(chance: Random) -> Commanded:
    """Return a command of any kind; what decoding refuses is not in it."""
    command: Any = replace(chance.choice(COMMANDS), instance_id="i", command_id="c")
    names = [field.name for field in fields(command)]
    for name in chance.sample(names[2:], min(2, len(names) - 2)):
        value = getattr(command, name)
        if isinstance(value, str) and name not in ("conflict_policy", "result", "loop"):
            command = replace(command, **{name: chance.choice(TEXTS)})
        elif isinstance(value, int) and not isinstance(value, bool):
            command = replace(command, **{name: chance.choice(NUMBERS[1:7])})
    return Commanded(
        command=command,
        position=CommandPosition(partition=0, offset=7, origin=None),
        known_origin=chance.random() < 0.1,
        source=chance.choice((None, SourceHistory(size=chance.choice((0, 2**30))))),
        source_last=chance.choice((None, 0, 3, 2**40)),
        deferred=chance.choice((0, 32)),
    )


def check(life: RandomInstance, rows: dict[str, Row], input_: Input) -> str:
    """Decide, and check what came out; return what it was."""
    store = MemoryStore()
    store.apply("i", dict(rows))
    encoder = EventEncoder()
    context = DecisionContext(
        claim=0,
        now_ms=life.now,
        definitions=OneGraph(life.graph, life.others),
        limits=DEFAULT_LIMITS,
        batch_bytes=1_000_000,
        size_of=encoder.size_of,
    )
    batch = Batch(store, context, encoder)
    with capture_logs() as logs:
        decision = batch.decide(input_)
    assert decision is not None  # an empty batch takes it, or what is decided instead
    assert len(batch.records) == len(decision.events)
    folded = DictRows(dict(rows))
    for event, record in zip(decision.events, batch.records, strict=True):
        assert decode_event(record.value or b"") == event
        folded.apply(evolve(folded, event))
    assert {k: batch.view("i").get(k) for k in folded.rows} == folded.rows
    if not logs:
        return "decided"
    assert logs[0]["event"] == "instance.decision_failed"
    if isinstance(input_, Commanded):
        (event,) = decision.events
        assert isinstance(event.body, CommandRejected)
        assert event.body.code == "internal"
        return "rejected"
    kinds = [type(event.body) for event in decision.events]
    assert kinds in ([], [InstanceQuarantined])
    return "quarantined"


def decide_pairs(seed: str, count: int) -> None:
    """Decide on `count` pairs of rows and input."""
    results: dict[str, int] = dict.fromkeys(("decided", "rejected", "quarantined"), 0)
    for number in range(count // PAIRS_A_LIFE):
        chance = Random(f"decide {seed} {number}")  # noqa: S311
        life, whole = random_instance(chance.randrange(2**32)), dict[str, Row]()
        for pair in range(PAIRS_A_LIFE):
            if pair % PAIRS_A_PREFIX == 0:
                events = life.events[: chance.randrange(len(life.events) + 1)]
                whole = fold(events)
            rows = damaged(whole, chance)
            input_ = random_input(rows, chance)
            try:
                results[check(life, rows, input_)] += 1
            except BaseException:
                print(f"pair {pair} of {number} of SAYIIR_FUZZ_SEED={seed}: {input_}")  # noqa: T201
                raise
    print(f"SAYIIR_FUZZ_SEED={seed}: {results}")  # noqa: T201
    assert results["decided"]
    assert results["quarantined"]


def test_a_decision_over_any_rows_is_made_or_quarantines_its_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        RandomInstance, "checked", False
    )  # tests/core compares the folds
    decide_pairs(SEED, PAIRS)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_decisions_over_any_rows_are_made_or_quarantine_their_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        RandomInstance, "checked", False
    )  # tests/core compares the folds
    decide_pairs(SEED, PAIRS_LONG)

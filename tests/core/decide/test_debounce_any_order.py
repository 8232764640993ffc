"""Of each burst the last start is owed, once, whatever comes twice, late or never.

The real `decide` and `evolve` beside a model of two variables; timers fire that are not
due any more, messages are recorded twice or not at all.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es import Flow
from sayiir_es.core.decide import debounce
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.evolve import debounce as folds
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.commands import DebounceStart
from sayiir_es.core.model.debounce_events import debounce_id
from sayiir_es.core.model.inputs import Commanded, MessageSent, TimerDue
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import DictRows, get_cursor
from sayiir_es.core.model.waits import Debouncing
from tests.core.instance_runner import OneGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Changes, Header, Rows

KEY = debounce_id("w")


def echo(value: object) -> object:
    return value


GRAPH = Flow("w").then(echo).build().graph


class Waiting(NamedTuple):
    """What the model says of the start that waits."""

    command_id: str
    first_at: int
    due_at: int


class World:
    """One key, and what is said of it by a model."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311 (a test's)
        self.rows = DictRows()
        self.now, self.offset, self.number = 1_000_000, 0, 0
        self.waiting: Waiting | None = None
        self.expected: list[str] = []
        """Starts by their command ids, in order."""
        self.sent: list[str] = []
        self.known: list[DebounceStart] = []
        self.due: list[int] = []

    def decide(self, input_: Input) -> list[Event]:
        """One decision, folded anew."""
        context = DecisionContext(
            claim=0,
            now_ms=self.now,
            definitions=OneGraph(GRAPH),
            limits=DEFAULT_LIMITS,
            batch_bytes=1 << 20,
        )
        replayed = DictRows(dict(self.rows.rows))
        decision = decide(input_, self.rows, context, 1 << 20)
        for event in decision.events:
            replayed.apply(evolve(replayed, event))
        self.rows.apply(decision.changes)
        assert replayed.rows == self.rows.rows
        return list(decision.events)

    def start(self) -> None:
        """A start comes, or one that came before comes again."""
        again = self.known and self.chance.random() < 0.3
        if again:
            command = self.chance.choice(self.known)
        else:
            self.number += 1
            command = DebounceStart(
                instance_id=KEY,
                command_id=f"c{self.number}",
                start_id=f"i{self.number}",
                workflow="w",
                input=b"1",
                quiet_ms=self.chance.choice([1, 50, 100]),
                max_ms=self.chance.choice([None, 100, 150]),
                attributes={},
            )
            self.known.append(command)
            first = self.now if self.waiting is None else self.waiting.first_at
            due = self.now + command.quiet_ms
            if command.max_ms is not None:
                due = max(min(due, first + command.max_ms), self.now)
            self.waiting = Waiting(command.command_id, first, due)
            self.due.append(due)
        self.offset += 1
        position = CommandPosition(partition=0, offset=self.offset)
        self.decide(Commanded(command=command, position=position))

    def fire(self, due_at: int) -> None:
        """A timer fires, of now or of before; never one that is to come."""
        if due_at > self.now:
            return
        if self.waiting is not None and self.waiting.due_at == due_at:
            self.expected.append(self.waiting.command_id)
            self.waiting = None
        self.decide(TimerDue(instance_id=KEY, chain=folds.CHAIN, due_at=due_at))

    def send(self) -> None:
        """What is owed reaches the log; not always is that recorded."""
        for key in [key for key in self.rows.rows if key[0] == "B"]:
            start = folds.get_start(self.rows, key)
            assert start is not None
            command = debounce.command_of(start)
            assert command.command_id[1:] == command.instance_id[1:]
            if command.command_id not in self.sent:  # else its receiver knows it
                self.sent.append(command.command_id)
            sent = MessageSent(instance_id=KEY, what="debounced", name=key, secret="")
            for _ in range(self.chance.choice([0, 1, 2])):
                self.decide(sent)

    def check(self) -> None:
        """Compare the rows with the model."""
        pending, cursor = (
            folds.get_pending(self.rows),
            get_cursor(self.rows, folds.CHAIN),
        )
        if self.waiting is None:
            assert pending is None
            assert cursor is None
            return
        assert pending is not None
        assert cursor is not None
        assert isinstance(cursor.wait, Debouncing)
        seen = (pending.command_id, pending.first_at, cursor.wait.due_at)
        assert seen == self.waiting

    def run(self) -> None:
        """Some time of this, and then what is left."""
        for _ in range(150):
            self.now += self.chance.choice([0, 1, 20, 60])
            match self.chance.randrange(4):
                case 0 | 1:
                    self.start()
                case 2 if self.due:
                    self.fire(self.chance.choice(self.due))
                case _:
                    self.send()
            self.check()
        if self.waiting is not None:
            self.now = max(self.now, self.waiting.due_at)
            self.fire(self.waiting.due_at)
        for _ in range(50):
            self.send()
        assert sorted(self.sent) == sorted(self.expected)
        assert not [key for key in self.rows.rows if key[0] in "BDc"]


def test_the_last_start_of_each_burst_is_owed_once() -> None:
    for seed in range(150):
        World(seed).run()


def is_found(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, what: object
) -> bool:
    with monkeypatch.context() as patched:
        patched.setattr(where, name, what)
        for seed in range(50):
            try:
                World(seed).run()
            except AssertionError:
                return True
    return False


def test_a_timer_of_before_that_fires_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    elapse = debounce.elapse

    def at_any_time(timer: TimerDue, cursor: object, *args: object) -> object:
        wait = getattr(cursor, "wait", None)
        assert isinstance(wait, Debouncing)
        due = TimerDue(instance_id=KEY, chain=timer.chain, due_at=wait.due_at)
        return elapse(due, cursor, *args)  # type: ignore[arg-type]  # passed on

    assert is_found(monkeypatch, debounce, "elapse", at_any_time)


def test_a_command_that_is_not_remembered_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forget(
        _rows: Rows, _event: Event, _id: str, _changes: Changes, header: Header
    ) -> int:
        return header.command_ids

    assert is_found(monkeypatch, folds, "remember_command", forget)


def test_a_burst_that_forgets_when_it_began_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: Callable[..., object] = vars(debounce)["StartDebounced"]

    def begun_now(**fields: object) -> object:
        fields["first_at"] = fields["due_at"]
        return real(**fields)

    assert is_found(monkeypatch, debounce, "StartDebounced", begun_now)

"""A limit is never exceeded, however its commands are delayed, doubled and reordered.

The real `decide` and `evolve`, one limit, some instances, and a network that does what
it likes. Owners forget all but rows at any time. Whatever happens, the permits that
attempts hold are in use at the limit, and no more than it allows; and when nothing is
lost any more, all ends, and every permit is back.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.owed import owed_attempt
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.evolve import lifecycle
from sayiir_es.core.evolve import permits as folds
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.commands import (
    AskPermit,
    CancelWorkflow,
    GrantPermit,
    PauseWorkflow,
    RetryWorkflow,
    ReturnPermit,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import (
    Commanded,
    Outcome,
    PermitReturnSent,
    SlotTaken,
    TakenOver,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.permit_events import limit_id
from sayiir_es.core.model.permit_rows import (
    ask_of,
    get_all_granted,
    get_granted,
    get_limit,
    get_permits,
    is_held,
)
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import (
    TERMINAL,
    DictRows,
    get_cursors,
    get_header,
)
from sayiir_es.core.model.waits import Awaiting
from tests.core.instance_runner import OneGraph

if TYPE_CHECKING:
    import pytest

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import Input

KEY, LIMIT, HOLDERS, STEPS = "k", 2, 3, 250


@task(concurrency_key=KEY, max_concurrency=LIMIT, retries=RetryPolicy(max_retries=50))
def left(value: object) -> object:
    return value


@task(concurrency_key=KEY, max_concurrency=LIMIT)
def right(value: object) -> object:
    return value


@task
def both(value: object) -> object:
    return value


GRAPH = Flow("w").fork().branch(left).branch(right).join(both).build().graph


class World:
    """One limit, its holders, and the commands that are on their way."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311 (a test's)
        self.now, self.offset = 1_000_000, 0
        self.rows = {f"h{number}": DictRows() for number in range(HOLDERS)}
        self.rows[limit_id(KEY)] = DictRows()
        self.on_the_way: list[Command] = []
        for holder in self.holders:
            start = StartWorkflow(
                instance_id=holder,
                command_id=holder,
                workflow="w",
                input=b"1",
                attributes={},
            )
            self.command(start)

    @property
    def holders(self) -> list[str]:
        """Their ids."""
        return [name for name in self.rows if name != limit_id(KEY)]

    def decide(self, instance_id: str, input_: Input) -> None:
        """One decision, folded, and the limit looked at."""
        self.now += 1
        context = DecisionContext(
            claim=0,
            now_ms=self.now,
            definitions=OneGraph(GRAPH),
            limits=DEFAULT_LIMITS,
            batch_bytes=1 << 20,
        )
        rows = self.rows[instance_id]
        replayed = DictRows(dict(rows.rows))
        decision = decide(input_, rows, context, 1 << 20)
        for event in decision.events:
            if event.sequence:
                replayed.apply(evolve(replayed, event))
        rows.apply(decision.changes)
        assert replayed.rows == rows.rows
        self.check()

    def command(self, command: Command) -> None:
        """One command, at the next place in the log."""
        self.offset += 1
        position = CommandPosition(partition=0, offset=self.offset)
        self.decide(command.instance_id, Commanded(command=command, position=position))

    def check(self) -> None:
        """Compare what is held with what is in use."""
        limit = self.rows[limit_id(KEY)]
        held = [
            int(name.partition(":")[0])
            for holder in self.holders
            for name, permit in get_permits(self.rows[holder])
            if is_held(self.rows[holder], name, permit)
        ]
        in_use = {permit for permit, _ in get_all_granted(limit)}
        assert len(held) == len(set(held))
        assert set(held) <= in_use, "a permit is held that was returned"
        assert len(in_use) == get_limit(limit).in_use <= LIMIT
        for holder in self.holders:
            for _, cursor in get_cursors(self.rows[holder]):
                permit = getattr(cursor.wait, "permit", "")
                header = get_header(self.rows[holder])
                if permit and header is not None and header.phase == "running":
                    number = int(permit.partition(":")[0])
                    assert get_granted(limit, number) is not None

    # --- what owners do ---------------------------------------------------------------

    def owed(self, holder: str) -> list[tuple[OwedAttempt, Awaiting]]:
        """The attempts that are to be handed out."""
        rows = self.rows[holder]
        header = get_header(rows)
        assert header is not None
        found: list[tuple[OwedAttempt, Awaiting]] = []
        for _, cursor in get_cursors(rows):
            owed = owed_attempt(header, cursor, GRAPH)
            if owed is not None and isinstance(cursor.wait, Awaiting):
                found.append((owed, cursor.wait))
        return found

    def ask(self, holder: str) -> None:
        """Ask for what an owner would."""
        header = header_of(self.rows[holder])
        for owed, wait in self.owed(holder):
            if not wait.permit and not owed.path.endswith("both"):
                ask = AskPermit(
                    instance_id=limit_id(KEY),
                    command_id="a",
                    holder=holder,
                    path=owed.path,
                    ask=ask_of(header, wait),
                    limit=LIMIT,
                )
                self.on_the_way.append(ask)

    def grant_again(self) -> None:
        """Send all grants again, as a new owner does."""
        for permit, ask in get_all_granted(self.rows[limit_id(KEY)]):
            self.on_the_way.append(
                GrantPermit(
                    instance_id=ask.holder,
                    command_id="g",
                    key=KEY,
                    path=ask.path,
                    ask=ask.ask,
                    permit=permit,
                )
            )

    def return_owed(self, holder: str) -> None:
        """Send what is owed; where the owner dies behind it, nothing is recorded."""
        for name, permit in list(get_permits(self.rows[holder])):
            if is_held(self.rows[holder], name, permit):
                continue
            number = int(name.partition(":")[0])
            self.on_the_way.append(
                ReturnPermit(
                    instance_id=limit_id(KEY),
                    command_id="r",
                    holder=holder,
                    permit=number,
                )
            )
            if self.chance.random() < 0.7:
                sent = PermitReturnSent(instance_id=holder, key=KEY, permit=number)
                self.decide(holder, sent)

    def deliver(self, *, twice: float) -> None:
        """One of the commands arrives, and maybe once more later."""
        if not self.on_the_way:
            return
        at = self.chance.randrange(len(self.on_the_way))
        command = self.on_the_way[at]
        if self.chance.random() >= twice:
            del self.on_the_way[at]
        self.command(command)

    def end(self, holder: str, result: str) -> None:
        """An attempt that may run ends, or its worker withdraws it."""
        for owed, wait in self.owed(holder):
            if not wait.permit and not owed.path.endswith("both"):
                continue
            if self.chance.random() < 0.4:
                self.decide(
                    holder,
                    SlotTaken(
                        instance_id=holder,
                        run=owed.run,
                        path=owed.path,
                        attempt=owed.attempt,
                        restart=owed.withdrawn or self.chance.random() < 0.3,
                    ),
                )
            outcome = Outcome(
                instance_id=holder,
                run=owed.run,
                path=owed.path,
                attempt=owed.attempt,
                result=result,  # type: ignore[arg-type]  # one of three
                output=b"1" if result == "completed" else None,
                error_type="" if result == "completed" else "Boom",
            )
            self.decide(holder, outcome)
            return

    def hold(self, holder: str) -> None:
        """A requested pause or cancel withdraws what waits, or most of it."""
        rows = self.rows[holder]
        header = get_header(rows)
        assert header is not None
        for _, cursor in list(get_cursors(rows)):
            if isinstance(cursor.wait, Awaiting) and self.chance.random() < 0.8:
                self.decide(
                    holder,
                    Outcome(
                        instance_id=holder,
                        run=header.run,
                        path=cursor.path,
                        attempt=cursor.wait.attempt,
                        result="withdrawn",
                    ),
                )

    def control(self, holder: str) -> None:
        """A user asks for something."""
        command_id = f"c{self.offset}"
        commands: list[Command] = [
            PauseWorkflow(instance_id=holder, command_id=command_id),
            UnpauseWorkflow(instance_id=holder, command_id=command_id),
            RetryWorkflow(instance_id=holder, command_id=command_id),
            CancelWorkflow(instance_id=holder, command_id=command_id),
        ]
        (command,) = self.chance.choices(commands, (50, 25, 25, 2))
        self.command(command)

    def step(self) -> None:
        """Something happens."""
        holder = self.chance.choice(self.holders)
        match self.chance.randrange(11):
            case 0 | 1:
                self.ask(holder)
            case 2 | 3 | 4:
                self.deliver(twice=0.3)
            case 5:
                self.grant_again()
            case 6:
                self.return_owed(holder)
            case 7:
                # Seldom for good: a retry of the run is one more way to go on.
                results = ["withdrawn", "withdrawn", "failed", "completed"]
                self.end(holder, self.chance.choice(results))
            case 8:
                self.control(holder)
            case 9:
                self.hold(holder)
            case _:
                self.decide(holder, TakenOver(instance_id=holder))

    def finish(self) -> None:
        """Nothing is lost any more: everything ends, and every permit comes back."""
        for _ in range(400):
            self.now += 100_000
            for holder in self.holders:
                header = get_header(self.rows[holder])
                assert header is not None
                if header.phase == "failed":
                    retry = RetryWorkflow(
                        instance_id=holder, command_id=f"c{self.offset}"
                    )
                    self.command(retry)
                if header.pause is not None or header.phase == "paused":
                    unpause = UnpauseWorkflow(
                        instance_id=holder, command_id=f"c{self.offset}"
                    )
                    self.command(unpause)
                if header.cancel is not None:
                    self.hold(holder)
                self.ask(holder)
                self.end(holder, "completed")
                self.return_owed(holder)
            self.grant_again()
            while self.on_the_way:
                self.deliver(twice=0.0)
            if self.is_over():
                return
        raise AssertionError("expected all to end, but something waits")

    def is_over(self) -> bool:
        """Whether all has ended, and every permit is back."""
        headers = [get_header(self.rows[holder]) for holder in self.holders]
        return (
            all(
                one is not None and one.phase in TERMINAL - {"failed"}
                for one in headers
            )
            and not any([*get_permits(self.rows[holder])] for holder in self.holders)
            and get_limit(self.rows[limit_id(KEY)]).in_use == 0
        )


def run(seed: int) -> World:
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    return world


def test_a_limit_is_never_exceeded_and_all_ends() -> None:
    for seed in range(60):
        run(seed).finish()


def is_found(monkeypatch: pytest.MonkeyPatch, seeds: int = 300) -> bool:
    with monkeypatch.context():
        for seed in range(seeds):
            try:
                run(seed)
            except AssertionError:
                return True
    return False


def test_a_pause_that_leaves_permits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr(lifecycle, "without_permits", nothing)
    assert is_found(monkeypatch)


def test_a_grant_that_any_ask_accepts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Any(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    def ask(_: object, wait: Awaiting) -> int:
        return Any(wait.due)

    monkeypatch.setattr(folds, "ask_of", ask)
    assert is_found(monkeypatch)


def test_asks_that_a_pause_does_not_tell_apart_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(_: object, wait: Awaiting) -> int:
        return max(wait.due, wait.withdrawn)

    monkeypatch.setattr(folds, "ask_of", ask)
    monkeypatch.setitem(globals(), "ask_of", ask)
    assert is_found(monkeypatch)


def test_asks_that_a_withdrawal_does_not_tell_apart_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(_: object, wait: Awaiting) -> int:
        return wait.due

    monkeypatch.setattr(folds, "ask_of", ask)
    monkeypatch.setitem(globals(), "ask_of", ask)
    assert is_found(monkeypatch)

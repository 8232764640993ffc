"""No more runs go on than may, however commands are delayed, doubled and reordered.

The real `decide` and `evolve`, one start queue, some instances, and a network that does
what it likes. Owners forget all but rows at any time, and the queue is set anew.
Whatever happens, every run that goes on has a permit in use at the queue, and no more
come into use than are in force; when nothing is lost any more, all ends, and every
permit is back.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es import Flow
from sayiir_es.audit.rules.start_queues import StartQueueRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.decide import start_queue
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.owed import owed_attempt
from sayiir_es.core.draft import DecisionContext, nothing
from sayiir_es.core.evolve import lifecycle
from sayiir_es.core.evolve import run_permits as folds
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.commands import (
    AnswerRunPermit,
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SetLimit,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import (
    Commanded,
    DecisionFailed,
    MessageSent,
    Outcome,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.permit_rows import get_grant_timer
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import TERMINAL, DictRows, get_cursor, get_cursors
from sayiir_es.core.model.run_permit_events import RunPermitGranted, queue_id
from sayiir_es.core.model.run_permit_rows import (
    get_asked,
    get_message,
    get_queued,
    get_run_permit,
    get_setting,
    get_state,
    most_in_use,
)
from sayiir_es.core.model.waits import Awaiting, HoldingRunPermit
from tests.core.instance_runner import OneGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from sayiir_es.core.draft import Basis, Decision, Recorder
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Changes, Rows

LIMIT, LENGTH, HOLDERS, STEPS = 2, 2, 5, 250
SETTINGS = ((None, None), (0, None), (1, 0), (4, None), (None, 1), (3, 9))
"""What is set: how many go on, and how many others wait."""
QUEUE = queue_id("w")


def step(value: object) -> object:
    return value


GRAPH = (
    Flow("w", max_running=LIMIT, queue_length=LENGTH).then(step).then(step).build()
).graph


class World:
    """One start queue, its holders, and the commands that are on their way."""

    def __init__(self, seed: int, lost: float = 0.0) -> None:
        self.chance, self.lost = Random(seed), lost  # noqa: S311 (a test's)
        self.rules = StartQueueRules()
        self.now, self.offset = 1_000_000, 0
        self.holders = [f"h{number}" for number in range(HOLDERS)]
        self.rows = {name: DictRows() for name in (*self.holders, QUEUE)}
        self.on_the_way: list[Command] = []
        self.refused = 0
        for holder in self.holders:
            self.start(holder)

    def start(self, holder: str) -> None:
        """Another run, whatever stands there."""
        self.command(
            StartWorkflow(
                instance_id=holder,
                command_id=f"s{self.offset}",
                workflow="w",
                input=b"1",
                attributes={},
                conflict_policy="terminate_existing",
            )
        )

    def decide(self, instance_id: str, input_: Input) -> None:
        """One decision, folded anew, and the queue looked at."""
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
        events, is_lost = decision.events, False
        if instance_id == QUEUE and len(events) > 1:
            is_lost = self.chance.random() < self.lost
        if is_lost:  # a crash behind any of its events
            events = events[: self.chance.randrange(1, len(events))]
        for number, event in enumerate(events):
            self.refused += event.kind == "RunPermitRefused"
            if instance_id == QUEUE:
                self.rules.check(event, begins=not number)
            if event.sequence:
                replayed.apply(evolve(replayed, event))
        before = get_state(self.rows[QUEUE]).in_use
        rows.apply(decision.changes)
        if is_lost:
            self.rows[instance_id] = replayed
        assert replayed.rows == self.rows[instance_id].rows
        self.check(before)
        if decision.cut:
            self.decide(instance_id, ResumeCut(instance_id=instance_id))

    def command(self, command: Command) -> None:
        """One command, at the next place in the log."""
        self.offset += 1
        position = CommandPosition(partition=0, offset=self.offset)
        self.decide(command.instance_id, Commanded(command=command, position=position))

    def check(self, before: int) -> None:
        """Compare who goes on with what is in use, and the queue with its count."""
        queue = self.rows[QUEUE]
        state = get_state(queue)
        most = most_in_use(LIMIT, get_setting(queue))
        assert state.in_use <= max(most, before), "more in use than is in force"
        if state.waiting and state.in_use < most:
            assert get_grant_timer(queue) is not None, "nobody would go on"
        granted = [key for key in queue.rows if key[:2] == "U$"]
        assert len(granted) == state.in_use
        waiting, number, before = 0, state.first, 0
        while number:
            queued = get_queued(queue, number)
            assert queued is not None
            assert queued.before == before
            assert get_asked(queue, queued.holder, queued.ask) == number
            waiting, before, number = waiting + 1, number, queued.after
        assert (waiting, before) == (state.waiting, state.last)
        for holder in self.holders:
            self.check_holder(holder)

    def check_holder(self, holder: str) -> None:
        """Whoever goes on has a permit that is in use."""
        rows = self.rows[holder]
        header, wait = header_of(rows), get_run_permit(rows)
        if header.run == 0 or header.phase in TERMINAL:
            assert wait is None
            return
        if isinstance(wait, HoldingRunPermit):
            assert get_asked(self.rows[QUEUE], holder, wait.ask) == 0, "it was returned"
        else:
            assert header.queued
            assert not self.owed(holder), "an attempt is owed without a permit"

    # --- what owners do ---------------------------------------------------------------

    def send(self, name: str) -> None:
        """Send what is owed; where the owner dies behind it, nothing is recorded."""
        rows = self.rows[name]
        for key in [key for key in rows.rows if key[0] == "Q"]:
            message = get_message(rows, key)
            assert message is not None
            self.on_the_way.append(start_queue.command_of(name, message))
            if self.chance.random() < 0.6:
                self.decide(
                    name,
                    MessageSent(
                        instance_id=name, what="run_permit", name=key, secret=""
                    ),
                )

    def deliver(self, *, twice: float) -> None:
        """One of the commands arrives, and maybe once more later."""
        if not self.on_the_way:
            return
        at = self.chance.randrange(len(self.on_the_way))
        command = self.on_the_way[at]
        if self.chance.random() >= twice:
            del self.on_the_way[at]
        self.command(command)

    def owed(self, holder: str) -> list[Awaiting]:
        """The attempts that are to be handed out."""
        rows = self.rows[holder]
        return [
            cursor.wait
            for _, cursor in get_cursors(rows)
            if owed_attempt(header_of(rows), cursor, GRAPH) is not None
            and isinstance(cursor.wait, Awaiting)
        ]

    def end(self, holder: str, result: str) -> None:
        """An attempt that may run ends, or its worker withdraws it."""
        rows = self.rows[holder]
        header, cursor = header_of(rows), get_cursor(rows, "")
        if cursor is None or not isinstance(cursor.wait, Awaiting) or header.queued:
            return
        if result != "withdrawn" and cursor.wait.withdrawn > header.unpaused:
            begun = SlotTaken(
                instance_id=holder,
                run=header.run,
                path=cursor.path,
                attempt=cursor.wait.attempt,
                restart=True,
            )
            self.decide(holder, begun)
        outcome = Outcome(
            instance_id=holder,
            run=header.run,
            path=cursor.path,
            attempt=cursor.wait.attempt,
            result=result,  # type: ignore[arg-type]  # one of three
            output=b"1" if result == "completed" else None,
            error_type="" if result == "completed" else "Boom",
        )
        self.decide(holder, outcome)

    def control(self, holder: str) -> None:
        """A user asks for something, or a decision raises an error."""
        command_id = f"c{self.offset}"
        match self.chance.choices(range(6), (20, 20, 25, 10, 10, 5))[0]:
            case 0:
                self.command(PauseWorkflow(instance_id=holder, command_id=command_id))
            case 1:
                self.command(UnpauseWorkflow(instance_id=holder, command_id=command_id))
            case 2:
                self.command(RetryWorkflow(instance_id=holder, command_id=command_id))
            case 3:
                self.command(CancelWorkflow(instance_id=holder, command_id=command_id))
            case 4:
                self.start(holder)
            case _:
                failed = DecisionFailed(
                    instance_id=holder, decided_on="x", error_type="E", error="e"
                )
                self.decide(holder, failed)

    def set(self, max_running: int | None, queue_length: int | None) -> None:
        """Somebody sets the queue, or lets the workflow say."""
        self.command(
            SetLimit(
                instance_id=QUEUE,
                command_id=f"l{self.offset}",
                max_running=max_running,
                queue_length=queue_length,
            )
        )

    def fire(self) -> None:
        """The timer of the queue is due, if there is one."""
        due_at = get_grant_timer(self.rows[QUEUE])
        if due_at is not None:
            self.decide(QUEUE, TimerDue(instance_id=QUEUE, chain="", due_at=due_at))

    def step(self) -> None:
        """Something happens."""
        holder = self.chance.choice(self.holders)
        match self.chance.randrange(10):
            case 0 | 1:
                self.send(self.chance.choice([*self.holders, QUEUE]))
            case 2 | 3 | 4:
                self.deliver(twice=0.3)
            case 5:
                results = ["withdrawn", "failed", "completed"]
                self.end(holder, self.chance.choice(results))
            case 6:
                self.control(holder)
            case 7:
                self.fire()
            case 8 if self.chance.random() < 0.2:
                self.set(*self.chance.choice(SETTINGS))
            case _:
                self.decide(holder, TakenOver(instance_id=holder))

    def finish(self) -> None:
        """Nothing is lost any more: everything ends, and every permit comes back."""
        self.set(None, None)
        for _ in range(100):
            self.fire()
            for holder in self.holders:
                phase = header_of(self.rows[holder]).phase
                if phase == "quarantined":
                    self.command(
                        RetryWorkflow(instance_id=holder, command_id=f"q{self.offset}")
                    )
                if header_of(self.rows[holder]).pause is not None:
                    self.end(holder, "withdrawn")
                    self.command(
                        UnpauseWorkflow(
                            instance_id=holder, command_id=f"u{self.offset}"
                        )
                    )
                self.end(holder, "completed")
            for name in (*self.holders, QUEUE):
                self.send(name)
            while self.on_the_way:
                self.deliver(twice=0.0)
            if self.is_over():
                return
        raise AssertionError("expected all to end, but something waits")

    def is_over(self) -> bool:
        """Whether all has ended, and every permit is back."""
        queue = self.rows[QUEUE]
        return (
            all(header_of(self.rows[one]).phase in TERMINAL for one in self.holders)
            and get_state(queue).in_use == get_state(queue).waiting == 0
            and not any(key[0] == "Q" for r in self.rows.values() for key in r.rows)
            and not any(key.startswith(("U#", "U?", "U$")) for key in queue.rows)
        )


def run(seed: int, lost: float = 0.0) -> World:
    world = World(seed, lost)
    for _ in range(STEPS):
        world.step()
    return world


def test_no_more_runs_go_on_than_may_and_all_ends() -> None:
    refused = 0
    for seed in range(80):
        world = run(seed)
        world.finish()
        refused += world.refused
    assert refused


def test_what_a_crash_leaves_of_a_decision_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_queue, "GRANTS_MAX", 2)
    for seed in range(40):
        run(seed, lost=0.5).finish()


def test_what_one_decision_does_not_grant_is_granted_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_queue, "GRANTS_MAX", 2)
    world = World(0)
    world.set(0, 100)
    for name in (*world.holders, QUEUE):
        world.send(name)
    while world.on_the_way:
        world.deliver(twice=0.0)
    queue = world.rows[QUEUE]
    assert get_state(queue).waiting == HOLDERS
    world.set(100, None)
    left = [get_state(queue).waiting]
    while get_grant_timer(queue) is not None:
        world.fire()
        left.append(get_state(queue).waiting)
    assert left == [3, 1, 0]


def is_found(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, what: object
) -> bool:
    with monkeypatch.context() as patched:
        patched.setattr(where, name, what)
        for seed in range(60):
            try:
                run(seed).finish()
            except (AssertionError, BreachError):
                return True
    return False


def test_a_run_that_accepts_any_permit_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer: Callable[[Basis, AnswerRunPermit], Decision] = vars(start_queue)["_answer"]

    def any_ask(basis: Basis, command: AnswerRunPermit) -> Decision:
        wait = get_run_permit(basis.rows)
        return answer(
            basis, command if wait is None else replace(command, ask=wait.ask)
        )

    assert is_found(monkeypatch, start_queue, "_answer", any_ask)


def test_a_permit_that_an_end_keeps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(rows: Rows, *, refused: bool = False) -> Changes:
        del refused
        return {} if get_run_permit(rows) is None else {"c%queue": None}

    assert is_found(monkeypatch, lifecycle, "without_run_permit", kept)


def test_a_permit_that_came_too_late_and_is_kept_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer: Callable[[Basis, AnswerRunPermit], Decision] = vars(start_queue)["_answer"]

    def drop(basis: Basis, command: AnswerRunPermit) -> Decision:
        wait = get_run_permit(basis.rows)
        if wait is None or wait.ask != command.ask:
            return nothing(basis.instance_id)
        return answer(basis, command)

    assert is_found(monkeypatch, start_queue, "_answer", drop)


def test_a_queue_that_grants_one_too_many_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def grant(recorder: Recorder) -> None:
        first = get_queued(recorder.rows, get_state(recorder.rows).first)
        if first is not None:
            recorder.emit(
                RunPermitGranted(holder=first.holder, ask=first.ask, limit=LIMIT)
            )

    assert is_found(monkeypatch, start_queue, "_grant_next", grant)


def test_a_queue_that_grants_nothing_behind_a_return_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def grant(_: object) -> None:
        return None

    assert is_found(monkeypatch, start_queue, "_grant_next", grant)


def test_neighbours_that_do_not_close_ranks_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: Callable[..., tuple[Changes, object]] = vars(folds)["_left"]

    def gap(rows: Rows, number: int | None) -> tuple[Changes, object]:
        changes, state = left(rows, number)
        return {key: row for key, row in changes.items() if row is None}, state

    assert is_found(monkeypatch, folds, "_left", gap)


def test_a_raise_that_lets_nobody_go_on_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle: Callable[[Basis, SetLimit], Decision] = vars(start_queue)["set_queue"]

    def nothing_of(_: object) -> None:
        return None

    def forgetful(basis: Basis, command: SetLimit) -> Decision:
        with monkeypatch.context() as patched:
            patched.setattr(start_queue, "_grant_next", nothing_of)
            patched.setattr(folds, "may_grant", nothing_of)
            return handle(basis, command)

    assert is_found(monkeypatch, start_queue, "set_queue", forgetful)


def test_a_setting_that_counts_for_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_the_workflow_says(limit: int, _: object) -> int:
        return limit

    assert is_found(monkeypatch, start_queue, "most_in_use", as_the_workflow_says)

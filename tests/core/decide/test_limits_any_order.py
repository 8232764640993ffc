"""Neither the number nor the rate of a limit is exceeded, whatever comes when.

The real `decide` and `evolve`, and one limit: asks of tasks that name this or that,
returns, some twice, settings, and steps of time. A timer fires late, or twice. All is
known from the rows alone, which every event is also folded into anew. The audit reads
along. In the end everybody who asked has had a permit.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.audit.rules.limits import LimitRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.decide import limits
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.evolve import limits as folds
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model import rates
from sayiir_es.core.model.commands import AskPermit, ReturnPermit, SetLimit
from sayiir_es.core.model.inputs import Commanded, TimerDue
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitGranted,
    PermitQueued,
    limit_id,
)
from sayiir_es.core.model.permit_rows import get_all_granted, get_grant_timer, get_limit
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.model.rows import DictRows
from tests.core.instance_runner import OneGraph

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Input

LIMIT = limit_id("k")
GRAPH = Graph(name="w", chain=(TaskNode(id="a"),))
TASKS = ((2, None), (3, None), (0, "7/s"), (2, "7/s"), (4, "3/min burst 3"))
"""What tasks say: their limit, and their rate."""
SETTINGS = (
    *((None, None), (None, None), (0, None), (1, None), (5, None), (9, None)),
    *((None, "2/s burst 2"), (6, "1000/s"), (None, "40/min burst 5"), (50, "9/h")),
)


class Limit:
    """One limit, and what an honest bookkeeper notes of it."""

    def __init__(self, seed: int, lost: float = 0.0) -> None:
        """`lost` is how often a crash leaves some events of a decision only."""
        self.chance = Random(seed)  # noqa: S311 (a test's)
        self.lost = lost
        self.now, self.offset, self.asks = 1_000_000, 0, 0
        self.rows = DictRows()
        self.rules = LimitRules()
        self.sent: list[Command] = []
        self.waiting: set[int] = set()
        self.most: int | None = None
        self.rate: str | None = None
        self.taken: list[int] = []
        """When tokens were taken at the rate that is set."""
        self.taken_of_all: list[int] = []
        self.named: set[str] = set()
        """Every rate that a task named, or that was set."""

    # --- what happens -----------------------------------------------------------------

    def ask(self) -> None:
        """An attempt of some task asks."""
        self.asks += 1
        limit, rate = self.chance.choice(TASKS)
        self.command(
            AskPermit(
                instance_id=LIMIT,
                command_id="a",
                holder="i",
                path="work",
                ask=self.asks,
                limit=limit,
                rate=rate,
            )
        )

    def give_back(self) -> None:
        """A permit comes back."""
        granted = [permit for permit, _ in get_all_granted(self.rows)]
        if granted:
            permit = self.chance.choice(granted)
            self.command(
                ReturnPermit(
                    instance_id=LIMIT, command_id="r", holder="i", permit=permit
                )
            )

    def set(self, most: int | None, rate: str | None) -> None:
        """Somebody sets the limit."""
        self.command(
            SetLimit(
                instance_id=LIMIT,
                command_id=f"s{self.offset}",
                max_concurrency=most,
                rate=rate,
            )
        )

    def again(self) -> None:
        """Something comes a second time, at another place in the log."""
        if self.sent:
            self.command(self.chance.choice(self.sent[-50:]))

    def fire(self) -> None:
        """The timer fires that the rows name, if it is due; or one that is over."""
        due_at = get_grant_timer(self.rows)
        if due_at is None or self.chance.random() < 0.1:
            due_at = self.now - self.chance.randrange(3)
        if due_at <= self.now:
            self.decide(TimerDue(instance_id=LIMIT, chain="", due_at=due_at))

    def step(self) -> None:
        """Something happens."""
        match self.chance.randrange(10):
            case 0 | 1 | 2:
                self.ask()
            case 3 | 4:
                self.give_back()
            case 5:
                self.again()
            case 6:
                if self.chance.random() < 0.3:
                    self.set(*self.chance.choice(SETTINGS))
            case 7:
                self.now += self.chance.choice((1, 3, 50, 400, 5_000))
            case _:
                self.fire()

    def finish(self) -> None:
        """Time goes on, and permits come back: everybody has had one."""
        self.set(*self.chance.choice(((None, None), (1, "40/min burst 5"))))
        for _ in range(20 * self.asks + 20):
            due_at = get_grant_timer(self.rows)
            if due_at is not None:
                self.now = max(self.now, due_at)
                self.decide(TimerDue(instance_id=LIMIT, chain="", due_at=due_at))
            elif not self.waiting and not get_limit(self.rows).in_use:
                assert not [
                    key for key in self.rows.keys("L") if key not in ("L", "L=")
                ]
                return
            else:
                self.give_back()
        raise AssertionError(f"expected all to have had a permit, but {self.waiting}")

    # --- decisions --------------------------------------------------------------------

    def command(self, command: Command) -> None:
        """One command, at the next place in the log."""
        self.sent.append(command)
        self.offset += 1
        position = CommandPosition(partition=0, offset=self.offset)
        self.decide(Commanded(command=command, position=position))

    def decide(self, input_: Input) -> None:
        """One decision; its events are folded anew, and looked at."""
        self.now += self.chance.randrange(2)
        context = DecisionContext(
            claim=0,
            now_ms=self.now,
            definitions=OneGraph(GRAPH),
            limits=DEFAULT_LIMITS,
            batch_bytes=1 << 20,
        )
        decision = decide(input_, self.rows, context, 1 << 20)
        events = decision.events
        is_lost = len(events) > 1 and self.chance.random() < self.lost
        if is_lost:  # a crash behind any of its events
            events = events[: self.chance.randrange(1, len(events))]
        replayed = DictRows(dict(self.rows.rows))
        for number, event in enumerate(events):
            if event.sequence:
                replayed.apply(evolve(replayed, event))
            self.rules.check(event, begins=not number)
            self.note(event, replayed)
        self.rows.apply(decision.changes)
        if is_lost:
            self.rows = replayed
        assert replayed.rows == self.rows.rows
        state = get_limit(self.rows)
        assert state.in_use == len([*get_all_granted(self.rows)])
        assert state.tail - state.head == len(self.waiting)

    def note(self, event: Event, rows: DictRows) -> None:
        """Hold a grant to what is in force, and to nothing that the rows say."""
        body = event.body
        if isinstance(body, LimitSet):
            if body.rate != self.rate:
                self.taken = []
            self.most, self.rate = body.max_concurrency, body.rate
        named = getattr(body, "rate", None)
        if named is not None:
            self.named.add(named)
        if isinstance(body, PermitQueued):
            self.waiting.add(body.ask)
        if not isinstance(body, PermitGranted):
            return
        self.waiting.discard(body.ask)
        most = (body.limit or None) if self.most is None else self.most
        in_use = len([*get_all_granted(rows)])
        assert most is None or in_use <= most, "more in use than allowed"
        if self.rate is not None:
            self.taken.append(event.at)
            check_rate(self.taken, [self.rate])
        if self.rate is not None or body.rate is not None:
            self.taken_of_all.append(event.at)
            check_rate(self.taken_of_all, self.named)


def check_rate(times: list[int], named: Iterable[str]) -> None:
    """No span of time that ends with the last one has more than the fastest allows."""
    all_rates = [parse_rate(one) for one in named]
    burst = max(rate.burst for rate in all_rates)
    fastest = max(Fraction(rate.count, rate.period_ms) for rate in all_rates)
    for count, at in enumerate(reversed(times[-200:]), 1):
        allowed = burst + fastest * (times[-1] - at)
        assert count <= allowed, "more in a time than the rate allows"


def run(seed: int, steps: int = 150, lost: float = 0.0) -> Limit:
    limit = Limit(seed, lost)
    for _ in range(steps):
        limit.step()
    limit.finish()
    return limit


def is_found(seeds: int = 60) -> bool:
    for seed in range(seeds):
        try:
            run(seed)
        except (AssertionError, BreachError):
            return True
    return False


def test_no_limit_is_exceeded_and_everybody_has_a_permit() -> None:
    for seed in range(60):
        run(seed)


def test_what_a_crash_leaves_of_a_decision_is_gone_on_with() -> None:
    for seed in range(30):
        run(seed, lost=0.5)


def test_a_rate_is_used_to_the_full() -> None:
    """Of a burst of 3 and 10 a second, 23 have a permit 2 s later, each at its time."""
    limit = Limit(0)
    limit.set(1_000, "10/s burst 3")
    start = limit.now
    for _ in range(40):
        limit.ask()
    while limit.waiting:
        due_at = get_grant_timer(limit.rows)
        assert due_at is not None
        limit.now = max(limit.now, due_at)
        limit.decide(TimerDue(instance_id=LIMIT, chain="", due_at=due_at))
        if limit.taken[2:3]:
            spans = [b - a for a, b in itertools.pairwise(limit.taken[3:])]
            assert all(99 <= span <= 103 for span in spans), spans
        for _ in range(5):
            limit.give_back()
    within = [at for at in limit.taken if at - start <= 2_000]
    assert 20 <= len(within) <= 23


def test_what_one_decision_does_not_grant_is_granted_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "GRANTS_MAX", 4)
    for seed in range(20):
        run(seed)
    limit = Limit(0)
    limit.set(0, None)
    for _ in range(10):
        limit.ask()
    assert len(limit.waiting) == 10
    limit.set(100, "1000/s burst 100")
    left = [len(limit.waiting)]
    while (due_at := get_grant_timer(limit.rows)) is not None:
        assert due_at <= limit.now
        limit.decide(TimerDue(instance_id=LIMIT, chain="", due_at=due_at))
        left.append(len(limit.waiting))
    assert left == [6, 2, 0]


# --- what this test finds -------------------------------------------------------------


def test_a_token_that_costs_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spend(_: rates.Rate, full_at_us: int, now_ms: int) -> int:
        return max(full_at_us, now_ms * 1_000)

    monkeypatch.setattr(rates.Rate, "spend", spend)
    assert is_found()


def test_a_bucket_larger_than_said_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready_at(rate: rates.Rate, full_at_us: int) -> int:
        return -(-(full_at_us - rate.burst * rate.interval_us) // 1_000)

    monkeypatch.setattr(rates.Rate, "ready_at", ready_at)
    assert is_found()


def test_a_bucket_that_an_empty_time_overfills_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spend(rate: rates.Rate, full_at_us: int, _: int) -> int:
        return full_at_us + rate.interval_us

    monkeypatch.setattr(rates.Rate, "spend", spend)
    assert is_found()


def test_tokens_that_a_new_rate_forgives_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgive(*_: object) -> int:
        return 0

    monkeypatch.setattr(folds, "rescale", forgive)
    assert is_found()


def test_a_setting_that_does_not_count_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(_: object) -> None:
        return None

    monkeypatch.setattr(limits, "get_setting", nothing)
    assert is_found()


def test_a_timer_that_the_rows_forget_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untimed(_: object, changes: dict[str, object], __: int) -> dict[str, object]:
        return changes

    monkeypatch.setattr(folds, "_with_timer", untimed)
    assert is_found()

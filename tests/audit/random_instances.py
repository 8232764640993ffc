"""Random lives of one instance: every command, outcome, timer and crash, at random.

The engine's own decisions make the events; nothing here knows what they should be. A
verifier must find nothing wrong with any of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.inputs import DecisionFailed, Outcome
from sayiir_es.core.model.rows import get_header
from tests.core.forked_runner import fork
from tests.core.instance_runner import InstanceRunner
from tests.core.programs import digest, key_for, turns
from tests.random_programs import random_graph, signals_of

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.model.events import Event, LoopMark

STEPS = 250
POLICIES: tuple[ConflictPolicy, ...] = ("fail", "use_existing", "terminate_existing")

QUARANTINED = DecisionFailed(
    instance_id="i", decided_on="a take-over", error_type="KeyError", error="'x'"
)


@dataclass
class Life(InstanceRunner):
    """A play whose tasks fail, and end loops, as chance will have it."""

    chance: Random = field(default_factory=Random)
    running: list[Outcome] = field(default_factory=list[Outcome])
    """What begun attempts will end with."""

    def finish(self, attempt: OwedAttempt) -> list[Event]:
        """The function runs and its outcome is decided."""
        return self.decide(self.outcome(attempt))

    def work(self) -> bool:
        """Begin what is owed, or end what runs, wanted or not; False if none is."""
        for attempt in self.owed():
            if (attempt.run, attempt.path, attempt.attempt) not in self.handed:
                self.begin(attempt)
                self.running.append(self.outcome(attempt))
                break
        if not self.running or self.chance.random() < 0.2:
            return bool(self.running)
        ends = self.running.pop(self.chance.randrange(len(self.running)))
        if self.held() and self.chance.random() < 0.7:
            ends = replace(ends, result="withdrawn")
        self.decide(ends)
        return True

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """What the attempt ends with."""
        place = self.graph.place(attempt.path)
        assert place is not None
        node, data = place.node, resolve(self.rows, self.graph, attempt.input)
        made = Outcome(
            instance_id="i",
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.attempt,
            result="completed",
            worker="w",
        )
        if isinstance(node, RouteNode):
            return replace(made, output=json.dumps(key_for(node, data)).encode())
        assert isinstance(node, TaskNode)
        if self.chance.random() < (0.4 if node.retry is not None else 0.02):
            return replace(made, result="failed", error_type="ValueError", error="no")
        loop: LoopMark = "none"
        if place.ends_loop and self.chance.random() < 0.98:
            iteration = int(attempt.path.rpartition("@")[2].partition("/")[0])
            loop = "done" if iteration + 1 >= turns(node.id) else "again"
            loop = "again" if self.chance.random() < 0.1 else loop
        return replace(made, output=digest(node.id, data), loop=loop)


def lived(seed: int) -> Life:
    """One life, the same for the same seed."""
    chance = Random(seed)  # noqa: S311
    life = Life(random_graph(chance, "w"), chance=chance)
    life.limits = replace(life.limits, decision_events=chance.choice([2, 5, 500]))
    signals = signals_of(life.graph) * 3
    chance.shuffle(signals)
    if chance.random() < 0.7:
        life.start(b'"in"')
    _live(life, chance, signals)
    return life


def forked(source: Life, at: int) -> Life | None:
    """A life that begins with the first events of another; None if none begins so."""
    life = Life(source.graph, chance=source.chance, limits=source.limits)
    life.now = source.now - source.chance.choice([0, 100_000])  # another's clock
    fork(life, source.events, at)
    if life.events[0].kind != "WorkflowForked":
        return None
    if source.chance.random() < 0.5:
        _live(life, life.chance, signals_of(life.graph))
    return life


def _live(life: Life, chance: Random, signals: list[str]) -> None:
    for _ in range(STEPS):
        _step(life, chance, signals)
        if chance.random() < 0.003:
            life.decide(QUARANTINED)
        header = get_header(life.rows)
        failed = header is not None and header.phase in ("failed", "quarantined")
        if chance.random() < (0.2 if failed else 0.005):
            life.command(RetryWorkflow(instance_id="i", command_id=""))


def _step(life: Life, chance: Random, signals: list[str]) -> None:
    drawn = chance.random()
    if drawn < 0.1 and signals:
        name = signals.pop()
        once = chance.choice([None, f"{name}-{chance.random()}"])
        life.command(
            SendSignal(
                instance_id="i",
                command_id="",
                signal=name,
                payload=b'"x"',
                signal_id=once,
            )
        )
    elif drawn < 0.13:
        life.command(PauseWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.2:
        life.command(UnpauseWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.205:
        life.command(CancelWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.215:
        life.take_over()
    elif drawn < 0.25:
        life.crash_in_attempt()
    elif drawn < 0.26:
        life.start(b'"in"', conflict_policy=chance.choice(POLICIES))
    elif drawn < 0.9:
        if not life.work():
            life.fire()
    else:
        life.now += chance.randint(0, 300)
        life.fire()

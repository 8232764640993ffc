"""Random instances: every command, outcome, timer and crash, at random.

The engine's own decisions make the events; nothing here knows what they should be. A
verifier must find nothing wrong with any of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import segments
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.paths import encode_segment
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    MigrateWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.inputs import DecisionFailed, Outcome
from sayiir_es.core.model.rows import get_header
from tests.core.forked_runner import fork
from tests.core.instance_runner import InstanceRunner
from tests.core.programs import BASES, always_fails, digest, key_for, turns
from tests.random_programs import random_graph, signals_of

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.model.events import Event, LoopMark

STEPS = 250
POLICIES: tuple[ConflictPolicy, ...] = ("fail", "use_existing", "terminate_existing")

QUARANTINED = DecisionFailed(
    instance_id="i", decided_on="a take-over", error_type="KeyError", error="'x'"
)


@dataclass
class RandomInstance(InstanceRunner):
    """An instance whose tasks fail, and end loops, at random."""

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
        outcome = Outcome(
            instance_id="i",
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.attempt,
            result="completed",
            worker="w",
        )
        if isinstance(node, RouteNode):
            return replace(outcome, output=json.dumps(key_for(node, data)).encode())
        assert isinstance(node, TaskNode)
        fails = always_fails(node) and self.chance.random() < 0.7
        if fails or self.chance.random() < (0.4 if node.retry is not None else 0.02):
            return replace(
                outcome,
                result="failed",
                error_type="ValueError",
                error="no",
                error_bases=self.chance.choice([BASES, ("shop.Other",), ()]),
            )
        loop: LoopMark = "none"
        if place.ends_loop and self.chance.random() < 0.98:
            iteration = int(attempt.path.rpartition("@")[2].partition("/")[0])
            loop = "done" if iteration + 1 >= turns(node.id) else "again"
            loop = "again" if self.chance.random() < 0.1 else loop
        return replace(outcome, output=digest(node.id, data), loop=loop)


def random_instance(seed: int) -> RandomInstance:
    """One instance, the same for the same seed."""
    chance = Random(seed)  # noqa: S311
    graph = random_graph(chance, "w")
    if graph.timeout_ms is not None:
        graph = replace(graph, timeout_ms=chance.randint(1_000, 90_000))
    instance = RandomInstance(graph, chance=chance)
    instance.limits = replace(
        instance.limits, decision_events=chance.choice([2, 5, 500])
    )
    signals = signals_of(instance.graph) * 3
    chance.shuffle(signals)
    if chance.random() < 0.7:
        instance.start(b'"in"')
    _run(instance, chance, signals)
    return instance


def fork_of(source: RandomInstance, at: int) -> RandomInstance | None:
    """An instance that begins with the first events of another; None if it cannot."""
    first = source.others[0] if source.others else source.graph
    instance = RandomInstance(
        first, chance=source.chance, limits=source.limits, others=source.others
    )
    instance.now = source.now - source.chance.choice(
        [0, 100_000]
    )  # its owner has another clock
    fork(instance, source.events, at)
    if instance.events[0].kind != "WorkflowForked":
        return None
    if source.chance.random() < 0.5:
        _run(instance, instance.chance, signals_of(instance.graph))
    return instance


def _run(instance: RandomInstance, chance: Random, signals: list[str]) -> None:
    for _ in range(STEPS):
        _step(instance, chance, signals)
        if chance.random() < 0.003:
            instance.decide(QUARANTINED)
        if chance.random() < 0.03:
            _migrate(instance, chance)
        header = get_header(instance.rows)
        failed = header is not None and header.phase in ("failed", "quarantined")
        if chance.random() < (0.2 if failed else 0.005):
            instance.command(RetryWorkflow(instance_id="i", command_id=""))


def _migrate(instance: RandomInstance, chance: Random) -> None:
    """Go on with another graph, some of whose tasks have other names."""
    graph, number = instance.graph, len(instance.others)
    mapping: dict[str, str] = {}
    chain: list[Node] = []
    for node, segment in zip(graph.chain, segments(graph.chain), strict=True):
        if isinstance(node, TaskNode) and "#" not in segment and chance.random() < 0.5:
            chain.append(replace(node, id=f"{node.id}_{number}", needs=()))
            mapping[segment] = encode_segment(f"{node.id}_{number}")
        else:
            chain.append(node)
    other = replace(graph, chain=tuple(chain), metadata=f'{{"build":{number}}}')
    instance.others = (*instance.others, graph, other)
    instance.command(
        MigrateWorkflow(
            instance_id="i", command_id="", to=other.digest, mapping=mapping
        )
    )


def _step(instance: RandomInstance, chance: Random, signals: list[str]) -> None:
    drawn = chance.random()
    if drawn < 0.1 and signals:
        name = signals.pop()
        once = chance.choice([None, f"{name}-{chance.random()}"])
        instance.command(
            SendSignal(
                instance_id="i",
                command_id="",
                signal=name,
                payload=b'"x"',
                signal_id=once,
            )
        )
    elif drawn < 0.13:
        instance.command(PauseWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.2:
        instance.command(UnpauseWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.205:
        instance.command(CancelWorkflow(instance_id="i", command_id=""))
    elif drawn < 0.215:
        instance.take_over()
    elif drawn < 0.25:
        instance.crash_in_attempt()
    elif drawn < 0.26:
        instance.start(b'"in"', conflict_policy=chance.choice(POLICIES))
    elif drawn < 0.9:
        if not instance.work():
            instance.fire()
    else:
        instance.now += chance.randint(0, 300)
        instance.fire()

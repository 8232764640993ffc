"""A decision reads what it is given, and what it decides it hands back."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.decide.decide import decide
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import SignalNode, TaskNode
from sayiir_es.core.model.commands import CancelWorkflow, RetryWorkflow, SendSignal
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.inputs import Commanded, ResumeCut, TakenOver, TimerDue
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from tests.core.instance_runner import BATCH_BYTES, InstanceRunner, OneGraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Row


@dataclass(frozen=True, slots=True)
class ReadOnlyRows:
    """Rows that nothing can change."""

    rows: Mapping[str, Row]

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        return self.rows.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`."""
        return (key for key in self.rows if key.startswith(prefix))


class NoGraphs:
    """The definitions of a process that knows no graph."""

    def by_name(
        self, workflow: str, definition_hash: str | None, version: str | None = None
    ) -> Graph | None:
        """None."""
        del workflow, definition_hash, version
        return None

    def find_graphs(self, workflow: str, beginning: str) -> list[Graph]:
        """None."""
        del workflow, beginning
        return []

    def by_digest(self, graph_digest: str) -> Graph | None:
        """None."""
        del graph_digest
        return None


def context(definitions: Definitions) -> DecisionContext:
    return DecisionContext(
        claim=0,
        now_ms=2_000_000,
        definitions=definitions,
        limits=DEFAULT_LIMITS,
        batch_bytes=BATCH_BYTES,
    )


def commanded(command: Command) -> Commanded:
    return Commanded(command=command, position=CommandPosition(partition=0, offset=50))


CANCEL = commanded(CancelWorkflow(instance_id="i", command_id="c"))
RETRY = commanded(RetryWorkflow(instance_id="i", command_id="c"))
SIGNAL = commanded(
    SendSignal(instance_id="i", command_id="c", signal="ok", payload=b"1")
)


def waiting() -> InstanceRunner:
    """An instance that waits for a signal, for a second at most."""
    chain = (SignalNode(id="s", signal="ok", timeout_ms=1000), TaskNode(id="a"))
    runner = InstanceRunner(Graph(name="w", chain=chain))
    runner.start()
    return runner


def test_a_decision_changes_only_what_it_hands_back() -> None:
    runner = waiting()
    rows = ReadOnlyRows(MappingProxyType(dict(runner.rows.rows)))
    decision = decide(SIGNAL, rows, context(OneGraph(runner.graph)), BATCH_BYTES)
    assert [event.kind for event in decision.events] == [
        "SignalReceived",
        "SignalConsumed",
        "PositionUpdated",
    ]
    assert decision.moved == ("",)
    runner.rows.apply(decision.changes)
    assert runner.owed()[0].path == "a"


def test_an_answer_needs_no_graph() -> None:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"),)))
    runner.start()
    runner.run()
    unknown = context(NoGraphs())
    for input_, kind in [(CANCEL, "CommandRejected"), (RETRY, "CommandRejected")]:
        decision = decide(input_, runner.rows, unknown, BATCH_BYTES)
        assert [event.kind for event in decision.events] == [kind]


def test_a_signal_that_nothing_awaits_needs_no_graph() -> None:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"),)))
    runner.start()
    decision = decide(SIGNAL, runner.rows, context(NoGraphs()), BATCH_BYTES)
    assert [event.kind for event in decision.events] == ["SignalReceived"]


@pytest.mark.parametrize(
    "input_",
    [
        CANCEL,
        SIGNAL,
        TimerDue(instance_id="i", chain="", due_at=1_001_000),
        ResumeCut(instance_id="i"),
        TakenOver(instance_id="i"),
    ],
)
def test_what_happens_in_a_run_needs_its_graph(input_: Input) -> None:
    with pytest.raises(HistoryError, match="expected the graph"):
        decide(input_, waiting().rows, context(NoGraphs()), BATCH_BYTES)


@pytest.mark.parametrize(
    "input_",
    [
        TimerDue(instance_id="i", chain="", due_at=7),  # of another time
        TimerDue(instance_id="i", chain="b", due_at=1_001_000),  # of another chain
    ],
)
def test_a_time_that_nothing_waits_for_is_not_recorded(input_: Input) -> None:
    decision = decide(input_, waiting().rows, context(NoGraphs()), BATCH_BYTES)
    assert decision.events == ()
    assert not decision.changes

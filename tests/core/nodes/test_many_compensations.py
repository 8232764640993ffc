"""Ten thousand tasks are undone in one run, each step at a cost that stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Branch, ForkNode, TaskNode
from sayiir_es.core.model.compensation_events import CompensationEnded
from sayiir_es.core.model.events import PositionUpdated, WorkflowFailed
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.rows import DictRows
from sayiir_es.core.model.undo_rows import undo_key, undoable_rows
from sayiir_es.core.nodes import compensation
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import OutcomeResult

BAD = TaskNode(id="bad")


def undoable(name: str) -> TaskNode:
    return TaskNode(id=name, compensate=TaskNode(id=f"un{name}"))


class Unchecked(InstanceRunner):
    """Does not fold its whole history behind each decision."""

    checked: ClassVar[bool] = False


def test_a_thousand_branches_are_undone_each_once_over_decisions_that_are_cut() -> None:
    branches = tuple(Branch(name=f"b{n}", chain=(undoable("t"),)) for n in range(1000))
    chain = (ForkNode(id="f", branches=branches), BAD)
    runner = Unchecked(Graph(name="w", chain=chain))
    runner.start()

    def end(path: str, result: OutcomeResult) -> list[Event]:
        return runner.decide(
            Outcome(
                instance_id="i",
                run=1,
                path=path,
                attempt=1,
                result=result,
                output=b"1",
                error_type="ValueError",
                worker="w",
            )
        )

    for number in range(1000):
        end(f"f/b{number}/t", "completed")
    opened = [
        event.body.path
        for event in end("bad", "failed")
        if isinstance(event.body, PositionUpdated)
    ]
    assert len(set(opened)) == 1000
    causes = {event.cause for event in runner.events[-1000:]}
    assert len(causes) > 1  # 500 events are a decision
    for path in opened:
        assert end(path, "completed")[1].kind == "CompensationEnded"
    ended = [
        event.body.path
        for event in runner.events
        if isinstance(event.body, CompensationEnded)
    ]
    assert len(set(ended)) == len(ended) == 1000
    body = runner.events[-1].body
    assert isinstance(body, WorkflowFailed)
    assert body.compensated == tuple(f"f/b{n}/t" for n in range(999, 899, -1))


def test_ten_thousand_are_undone_at_a_cost_that_does_not_grow_with_those_done() -> None:
    """In a chain, and side by side; counted in looks at the order, not in time."""
    for graph, names in (
        (Graph(name="w", chain=(undoable("t"),)), [f"n{n}" for n in range(10_000)]),
        (
            Graph(
                name="w",
                chain=(
                    ForkNode(
                        id="f",
                        branches=tuple(
                            Branch(name=f"b{n}", chain=(undoable("t"),))
                            for n in range(10_000)
                        ),
                    ),
                    TaskNode(id="j"),
                ),
            ),
            [f"f/b{n}/t" for n in range(10_000)],
        ),
    ):
        counted = CountedGraph(name=graph.name, chain=graph.chain)
        left = list(reversed(names))
        first = compensation.due(left, counted)
        assert len(first) == (1 if names[0] == "n0" else 10_000)
        rows = DictRows()
        for number, path in enumerate(names, 1):
            rows.apply(undoable_rows(number, path, "start"))
        for number in (10_000, 9_999, 9_998):
            path = names[number - 1]
            rows.apply({undo_key("u", number, path): None})
            before = counted.looks
            compensation.due_behind(rows, counted, path)
            assert counted.looks - before <= 3


class CountedGraph(Graph):
    """Counts how often the surroundings of a path are looked at."""

    looks: int = 0

    def forks_around(self, path: str) -> list[tuple[str, str]]:
        """Count it."""
        object.__setattr__(self, "looks", self.looks + 1)
        return super().forks_around(path)

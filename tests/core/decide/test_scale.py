"""What a decision costs does not grow with what the instance holds already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import LoopNode, TaskNode
from sayiir_es.core.model.rows import DictRows
from tests.core.graph.test_record import fork_of
from tests.core.nodes.test_constructs import Player

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.rows import Row


@dataclass
class CountedRows(DictRows):
    """Rows that count how often they are asked."""

    asked: int = 0
    rows: dict[str, Row] = field(default_factory=dict[str, "Row"])

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        self.asked += 1
        return super().get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`: each costs."""
        for key in super().keys(prefix):
            self.asked += 1
            yield key


class Silent(Player):
    """Folds nothing a second time: that would cost more with every event."""

    checked = False


def cost_of_an_outcome(branches: int) -> int:
    """How many rows the outcome of the fifth branch looks at."""
    counted = CountedRows()
    game = Silent(fork_of(branches), rows=counted)
    game.start(b'"in"')
    for _ in range(4):
        assert game.step()
    (attempt,) = [found for found in game.owed() if found.path.endswith("/b4")]
    counted.asked = 0
    game.finish(attempt)
    return counted.asked


def test_an_outcome_costs_the_same_whatever_the_width_of_its_fork() -> None:
    narrow, wide = cost_of_an_outcome(10), cost_of_an_outcome(1000)
    assert narrow == wide


@pytest.mark.parametrize("iterations", [10, 1000])
def test_the_snapshot_of_a_loop_is_bounded_whatever_its_iterations(
    iterations: int,
) -> None:
    loop = LoopNode(
        id="loop_0",
        body=(TaskNode(id="a"), TaskNode(id=f"b-{iterations - 1}")),
        max_iterations=iterations,
    )
    game = Silent(Graph(name="w", chain=(loop,)))
    game.start(b'"in"')
    most = 0
    while game.step():
        most = max(most, len(game.rows.rows))
    assert game.header.phase == "completed"
    assert most <= 12

"""What a decision costs does not grow with what the instance holds already.

Counted is every row that is looked at in the dict behind the rows, also by a scan that
gives none of them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.decide.decide import decide
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import LoopNode, SignalNode, TaskNode
from sayiir_es.core.model.commands import PauseWorkflow, SendSignal
from sayiir_es.core.model.inputs import Commanded
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import DictRows, StagedRows
from sayiir_es.engine.store.cache import CachedRows
from tests.core.graph.test_record import fork_of
from tests.core.instance_runner import BATCH_BYTES, OneGraph
from tests.core.nodes.test_constructs import ProgramRunner

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, Iterator

    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Row, Rows


class Unchecked(ProgramRunner):
    """Folds nothing a second time: that would cost more with every event."""

    checked = False


class CountedDict(dict[str, "Row | None"]):
    """Counts its looks at rows."""

    looks = 0

    def __getitem__(self, key: str) -> Row | None:
        self.looks += 1
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.looks += 1
            yield key

    def get(self, key: str, default: Row | None = None) -> Row | None:  # type: ignore[override]  # of rows alone
        """The row of a key."""
        self.looks += 1
        return super().get(key, default)

    def items(self) -> ItemsView[str, Row | None]:  # type: ignore[override]  # of C
        """The rows with their keys: each is looked at."""
        self.looks += len(self)
        return super().items()


class NoSource:
    """A database that holds nothing."""

    def read(self, instance: bytes, key: str) -> Row | None:
        """No row."""
        del instance, key
        return None

    def read_cursors(self, instance: bytes, prefix: str) -> list[tuple[str, Row]]:
        """No cursor."""
        del instance, prefix
        return []

    def read_keys(self, instance: bytes, prefix: str) -> list[str]:
        """No key."""
        del instance, prefix
        return []


class ScannedRows(DictRows):
    """Rows as they must not be: keys by prefix cost a look at each."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`."""
        return (key for key in list(self.rows) if key.startswith(prefix))


def in_a_dict(rows: CountedDict) -> Rows:
    return DictRows(rows)  # type: ignore[arg-type]  # it holds no None


def in_a_store(rows: CountedDict) -> Rows:
    return CachedRows(b"i", NoSource(), complete=True, rows=rows)


def in_a_batch(rows: CountedDict) -> Rows:
    return StagedRows(DictRows(), rows)


def scanned(rows: CountedDict) -> Rows:
    return ScannedRows(rows)  # type: ignore[arg-type]  # it holds no None


# --- inputs, and the rows that they come to -------------------------------------------


def commanded(command: Command) -> Commanded:
    position = CommandPosition(partition=0, offset=99)
    return Commanded(command=command, position=position)


def iteration() -> tuple[Unchecked, Input]:
    """The end of a loop's second iteration, with a third to come."""
    body = (TaskNode(id="a"), TaskNode(id="b-5"))
    loop = LoopNode(id="loop_0", body=body, max_iterations=9)
    runner = Unchecked(Graph(name="w", chain=(loop,)))
    runner.start(b'"in"')
    for _ in range(3):
        assert runner.step()
    (attempt,) = runner.owed()
    assert attempt.path == "loop_0@1/b-5"
    return runner, runner.outcome(attempt)


def signal() -> tuple[Unchecked, Input]:
    """A signal that is awaited."""
    chain = (SignalNode(id="s", signal="ok"), TaskNode(id="a"))
    runner = Unchecked(Graph(name="w", chain=chain))
    runner.start(b'"in"')
    command = SendSignal(instance_id="i", command_id="c", signal="ok", payload=b"1")
    return runner, commanded(command)


def pause() -> tuple[Unchecked, Input]:
    """A pause, which looks whether anything runs."""
    runner = Unchecked(fork_of(5))
    runner.start(b'"in"')
    return runner, commanded(PauseWorkflow(instance_id="i", command_id="c"))


def outcome() -> tuple[Unchecked, Input]:
    """The end of a run: all of its cursors go."""
    runner = Unchecked(Graph(name="w", chain=(TaskNode(id="a"),)))
    runner.start(b'"in"')
    (attempt,) = runner.owed()
    return runner, runner.outcome(attempt)


def looks(
    situation: Callable[[], tuple[Unchecked, Input]],
    rows_of: Callable[[CountedDict], Rows],
    others: int,
) -> int:
    """How many rows the decision looks at, among so many others."""
    runner, input_ = situation()
    kinds = ("vresult:other/", "vsignal:", "xother/b", "lresult:other/", "q", "m")
    counted = CountedDict(runner.rows.rows)
    for number in range(others):
        counted[f"{kinds[number % len(kinds)]}{number}"] = b""
    rows = rows_of(counted)
    context = DecisionContext(
        claim=0,
        now_ms=runner.now,
        definitions=OneGraph(runner.graph),
        limits=DEFAULT_LIMITS,
        batch_bytes=BATCH_BYTES,
    )
    for kind in "cvlxyaq":  # an index is made once for each kind of row
        list(rows.keys(kind))
    counted.looks = 0
    decision = decide(input_, rows, context, BATCH_BYTES)
    assert decision.events
    return counted.looks


SITUATIONS = [iteration, signal, pause, outcome]


@pytest.mark.parametrize("rows_of", [in_a_dict, in_a_store, in_a_batch])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_decision_looks_at_the_same_rows_whatever_others_there_are(
    situation: Callable[[], tuple[Unchecked, Input]],
    rows_of: Callable[[CountedDict], Rows],
) -> None:
    few, some, many = (looks(situation, rows_of, count) for count in (10, 100, 10_000))
    assert many == some
    assert many <= few  # few rows are scanned: that takes less time
    assert many < 60


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_scan_is_counted(
    situation: Callable[[], tuple[Unchecked, Input]],
) -> None:
    assert looks(situation, scanned, 10_000) > 10_000


# --- whole runs -----------------------------------------------------------------------


def cost_of_an_outcome(branches: int) -> int:
    """How many rows the outcome of the fifth branch looks at."""
    counted = CountedDict()
    runner = Unchecked(fork_of(branches), rows=DictRows(counted))  # type: ignore[arg-type]  # it holds no None
    runner.start(b'"in"')
    for _ in range(4):
        assert runner.step()
    (attempt,) = [owed for owed in runner.owed() if owed.path.endswith("/b4")]
    counted.looks = 0
    runner.finish(attempt)
    return counted.looks


def test_an_outcome_costs_the_same_whatever_the_width_of_its_fork() -> None:
    narrow, wide = cost_of_an_outcome(100), cost_of_an_outcome(1000)
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
    runner = Unchecked(Graph(name="w", chain=(loop,)))
    runner.start(b'"in"')
    most = 0
    while runner.step():
        most = max(most, len(runner.rows.rows))
    assert runner.header.phase == "completed"
    assert most <= 12

"""How much the start queues of one partition are used, by workflow.

Kept by queue, from what its rows say whenever they change or are read, so that nothing
is counted twice. A queue in which nobody runs or waits takes no room; its workflow is
counted on with 0, so that who watches it sees that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.model.run_permit_events import QUEUE_PREFIX
from sayiir_es.core.model.run_permit_rows import get_state
from sayiir_es.core.nodes.run_permit import workflow_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.rows import Rows


class RunCounts(NamedTuple):
    """How many runs go on, and how many wait."""

    in_use: int
    waiting: int


NONE = RunCounts(0, 0)


class QueueUse:
    """Runs that go on and that wait, in the queues of each workflow."""

    def __init__(self) -> None:
        self._by_queue: dict[str, RunCounts] = {}
        self._by_workflow: dict[str, RunCounts] = {}

    @property
    def by_workflow(self) -> Mapping[str, RunCounts]:
        """The counts as they are now."""
        return dict(self._by_workflow)

    def note(self, queue: str, rows: Rows) -> None:
        """The rows of a start queue were read, or have changed."""
        state = get_state(rows)
        before = self._by_queue.pop(queue, NONE)
        counts = RunCounts(state.in_use, state.waiting)
        workflow = workflow_of(queue.removeprefix(QUEUE_PREFIX))
        total = self._by_workflow.get(workflow, NONE)
        self._by_workflow[workflow] = RunCounts(
            total.in_use + counts.in_use - before.in_use,
            total.waiting + counts.waiting - before.waiting,
        )
        if counts != NONE:
            self._by_queue[queue] = counts

    def clear(self) -> None:
        """Forget all: somebody else decides, or all is read again."""
        self._by_queue.clear()
        self._by_workflow.clear()

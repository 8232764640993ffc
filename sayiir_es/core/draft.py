"""A decision in the making: events are stamped and folded as they are decided.

Theory of operation. What follows in a decision depends on what came before it, so each
event is folded into the staged rows at once, by the same `evolve` that a replay uses.
Nothing is live before the log acknowledges the batch: the owner throws a draft away by
dropping its staged rows. A draft that grew to its limit, or to the room that its batch
has left, is *cut*: the rest is owed and comes as its own decision, before any other of
that instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    Event,
    LoopIterated,
    SignalReceived,
    TaskCompleted,
    WorkflowCompleted,
    WorkflowStarted,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.core.model.rows import Header, StagedRows, get_header

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import ForkNode, Node
    from sayiir_es.core.model.events import Body

EVENT_OVERHEAD_BYTES = 256
"""What an event without payload takes in a batch, roughly, headers included."""


class Draft:
    """Collects the events of one decision about one instance."""

    __slots__ = (
        "_branches",
        "_bytes",
        "_bytes_max",
        "cause",
        "claim",
        "cut",
        "events",
        "graph",
        "header",
        "instance_id",
        "limits",
        "moved",
        "now_ms",
        "opened",
        "rows",
        "touched",
    )

    def __init__(
        self,
        rows: StagedRows,
        *,
        instance_id: str,
        claim: int,
        now_ms: int,
        room: int,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.rows = rows
        self.header: Header | None = get_header(rows)
        """The instance's header as staged so far."""
        self.instance_id = instance_id
        self.claim = claim
        self.now_ms = now_ms
        self.cause = ""
        self.limits = limits
        self.events: list[Event] = []
        self.graph: Graph | None = None
        self.touched: list[str] = []
        """Chains whose next move is to be looked at, the next one last."""
        self.moved: dict[str, None] = {}
        """Chains whose cursor this decision changed, for whoever acts on it; each one
        once, in the order in which they first moved."""
        self.opened: dict[str, int] = {}
        """How many branches of a fork were looked at for opening, by its path."""
        self.cut = False
        self._branches: dict[str, list[tuple[str, tuple[Node, ...]]]] = {}
        self._bytes = 0
        self._bytes_max = min(room, limits.decision_bytes)

    def emit(self, body: Body, *, run: int | None = None) -> Event:
        """Decide one event: stamp it and fold it into the staged rows."""
        header = self.header
        event = Event(
            claim=self.claim,
            instance_id=self.instance_id,
            run=run if run is not None else (header.run if header else 0),
            sequence=(header.sequence if header else 0) + 1,
            at=self.now_ms,
            cause=self.cause,
            body=body,
        )
        changes = evolve(self.rows, event)
        self.rows.changes.update(changes)
        behind = changes["h"]
        assert isinstance(behind, Header), behind
        self.header = behind
        for key in changes:
            if key[0] == "c":
                self.moved[key[1:]] = None
        self._append(event)
        return event

    def branches_of(
        self, path: str, node: ForkNode
    ) -> list[tuple[str, tuple[Node, ...]]]:
        """The branches of a fork with their path segments, made once a decision."""
        found = self._branches.get(path)
        if found is None:
            found = self._branches[path] = list(inner_chains(node))
        return found

    def answer(self, body: CommandRejected | CommandAcknowledged) -> None:
        """Answer a command; without a trace where the instance does not exist."""
        if self.header is not None:
            self.emit(body)
            return
        self._append(
            Event(
                claim=self.claim,
                instance_id=self.instance_id,
                run=0,
                sequence=0,
                at=self.now_ms,
                cause=self.cause,
                body=body,
            )
        )

    def full(self, payload: int = 0) -> bool:
        """Whether the decision must be cut before its next opening or closing event.

        `payload` is what that event carries, in bytes. A decision holds one event at
        least, whatever its size.
        """
        return bool(self.events) and (
            len(self.events) >= self.limits.decision_events
            or self._bytes + payload >= self._bytes_max
        )

    def _append(self, event: Event) -> None:
        self.events.append(event)
        self._bytes += EVENT_OVERHEAD_BYTES + payload_bytes(event.body)


def payload_bytes(body: Body) -> int:
    """The size of what a user's codec made inside an event, in bytes."""
    match body:
        case TaskCompleted() | WorkflowCompleted():
            return len(body.output)
        case WorkflowStarted():
            return len(body.input)
        case SignalReceived():
            return len(body.payload)
        case LoopIterated():
            return len(body.value)
        case _:
            return 0

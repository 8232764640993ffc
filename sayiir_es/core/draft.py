"""The draft of a decision: events are stamped and folded as they are decided.

Theory of operation. A decision is made on a *basis*: the rows of its instance, which it
only reads, the cause, the time and the limits. What follows in it depends on what came
before, so each event is folded at once, by the same `evolve` that a replay uses, into
rows of the draft's own that lie over those of the basis. What comes out is a
`Decision`: the events and the rows that they change. Nothing is live before the log
acknowledges the batch: a decision that is dropped before has changed nothing.

A draft that grew to its limit, or to the room that its batch has left, is *cut*: the
rest is owed and comes as its own decision, before any other of that instance. What a
decision begins with is never cut, so it may be larger than the room: then it waits for
the next batch. An event that no batch takes, however empty, is never emitted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.model.events import Event
from sayiir_es.core.model.record_size import event_bytes
from sayiir_es.core.model.rows import Changes, Header, Rows, StagedRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.graph.nodes import ForkNode, Node
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.core.model.rows import Row

Fold: TypeAlias = Callable[[Rows, Event, Header], Changes]
"""`evolve_behind`: the rows that an event changes behind a header."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What a decision may know beside the snapshot.

    `batch_bytes` is how many bytes of records the log takes in one batch, `size_of` how
    many of them the record of an event takes. `entropy` are random bytes that nobody
    else knows: secrets are made of them.
    """

    claim: int
    now_ms: int
    definitions: Definitions
    limits: Limits
    batch_bytes: int
    size_of: Callable[[Event], int] = event_bytes
    entropy: bytes = b""


class DecisionCutError(Exception):
    """The decision has no room for its next events: nothing of them was emitted."""


class EventTooLargeError(Exception):
    """No batch takes an event, so that it never can be recorded."""

    def __init__(self, body: Body, size: int, limit: int) -> None:
        super().__init__(
            f"expected an event of at most {limit} bytes, the most in one batch, but "
            f"{type(body).__name__} has {size}: pass a reference to large data instead "
            "of the data"
        )
        self.body = body


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What one decision is made on.

    `room` is how many bytes its batch has left. `header` is that of `rows`; its
    sequence is 0 where the instance has left no trace.
    """

    instance_id: str
    rows: Rows
    header: Header
    cause: str
    context: DecisionContext
    room: int
    fold: Fold


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Events, stamped, and the rows behind them.

    Without events nothing is to be recorded. When it is `cut`, a `ResumeCut` of the
    instance is decided next. `size` is how many bytes its records take in a batch.
    """

    instance_id: str
    events: tuple[Event, ...]
    changes: Mapping[str, Row | None]
    cut: bool
    size: int

    @property
    def moved(self) -> tuple[str, ...]:
        """The chains whose cursor changed, in the order in which they first did."""
        return tuple([key[1:] for key in self.changes if key[0] == "c"])


_new_event, _new_decision = maker(Event), maker(Decision)


class Recorder:
    """Stamps and folds the events of one decision about one instance."""

    __slots__ = (
        "_basis",
        "_bytes",
        "_bytes_max",
        "_events",
        "_staged",
        "cut",
        "header",
        "instance_id",
        "is_cuttable",
        "limits",
        "now_ms",
        "rows",
    )

    def __init__(self, basis: Basis) -> None:
        context = basis.context
        self.instance_id = basis.instance_id
        self.now_ms = context.now_ms
        self.limits = context.limits
        self.header = basis.header
        """The instance's header behind the events so far."""
        self.cut = False
        self.is_cuttable = False
        """Whether what has no room is to be refused, since it may come later."""
        self._basis = basis
        self._staged = StagedRows(basis.rows, {})
        self.rows: Rows = self._staged
        """The instance's rows behind the events so far."""
        self._events: list[Event] = []
        self._bytes = 0
        self._bytes_max = min(basis.room, context.limits.decision_bytes)

    def emit(self, body: Body, *, run: int | None = None) -> None:
        """Decide one event: stamp and fold it.

        Raises:
            DecisionCutError: if it is to come in a later decision.
            EventTooLargeError: if no batch takes it.
        """
        header = self.header
        event = self._stamped(body, header.run if run is None else run, 1)
        self._take_room(event, self._basis.context.size_of(event))
        self._take_in(event)

    def emit_together(self, *bodies: Body) -> None:
        """Decide events that are never cut apart: stamp and fold them; as `emit`."""
        run, size_of = self.header.run, self._basis.context.size_of
        events = [
            self._stamped(body, run, ahead) for ahead, body in enumerate(bodies, 1)
        ]
        self._take_room(events[0], sum(map(size_of, events)))
        for event in events:
            self._take_in(event)

    def _stamped(self, body: Body, run: int, ahead: int) -> Event:
        """The event of a body, so many behind the last one."""
        header, basis = self.header, self._basis
        return _new_event(
            claim=basis.context.claim,
            instance_id=self.instance_id,
            run=run,
            sequence=header.sequence + ahead,
            at=self.now_ms,
            cause=basis.cause,
            body=body,
        )

    def _take_in(self, event: Event) -> None:
        """Fold an event that has room."""
        changes = self._basis.fold(self._staged, event, self.header)
        self._staged.apply(changes)
        header = changes["h"]
        assert isinstance(header, Header), header
        self.header = header
        self._events.append(event)

    def emit_untraced(self, body: Body) -> None:
        """Decide one event that leaves no trace in any instance."""
        basis = self._basis
        event = Event(
            claim=basis.context.claim,
            instance_id=self.instance_id,
            run=0,
            sequence=0,
            at=self.now_ms,
            cause=basis.cause,
            body=body,
        )
        self._take_room(event, basis.context.size_of(event))
        self._events.append(event)

    def new_secret(self) -> str:
        """128 bits that nobody can guess, in hex: others for each event."""
        place = f"{self.instance_id}\0{self.header.run}\0{self.header.sequence}"
        data = self._basis.context.entropy + place.encode("utf-8", "surrogatepass")
        return hashlib.sha256(data).hexdigest()[:32]

    def full(self) -> bool:
        """Whether the decision must be cut before its next move.

        A decision holds one event at least, whatever its size.
        """
        return bool(self._events) and (
            len(self._events) >= self.limits.decision_events
            or self._bytes >= self._bytes_max
        )

    def decision(self) -> Decision:
        """What was decided."""
        return _new_decision(
            instance_id=self.instance_id,
            events=tuple(self._events),
            changes=self._staged.changes,
            cut=self.cut,
            size=self._bytes,
        )

    def _take_room(self, event: Event, size: int) -> None:
        """Take the room of `size` bytes for an event, and those that come with it."""
        limit = self._basis.context.batch_bytes
        if size > limit:
            raise EventTooLargeError(event.body, size, limit)
        size += self._bytes
        if self.is_cuttable and self._events and size > self._bytes_max:
            raise DecisionCutError
        self._bytes = size


class Draft(Recorder):
    """The decision on what happens in a run, by the graph of that run."""

    __slots__ = ("_branches", "graph", "opened", "touched")

    def __init__(self, basis: Basis, graph: Graph) -> None:
        Recorder.__init__(self, basis)  # without the look-up of `super`
        self.graph = graph
        self.touched: list[str] = []
        """Chains whose next move is to be looked at, the next one last."""
        self.opened: dict[str, int] = {}
        """How many branches of a fork were looked at for opening, by its path."""
        self._branches: dict[str, list[tuple[str, tuple[Node, ...]]]] = {}

    def branches_of(
        self, path: str, node: ForkNode
    ) -> list[tuple[str, tuple[Node, ...]]]:
        """The branches of a fork with their path segments, made once a decision."""
        branches = self._branches.get(path)
        if branches is None:
            branches = self._branches[path] = list(inner_chains(node))
        return branches


def record(basis: Basis, body: Body, *, run: int | None = None) -> Decision:
    """The decision of one event that needs no graph."""
    recorder = Recorder(basis)
    recorder.emit(body, run=run)
    return recorder.decision()


def answer(basis: Basis, body: Body) -> Decision:
    """The decision that answers a command; traceless where there is no instance."""
    recorder = Recorder(basis)
    if basis.header.sequence:
        recorder.emit(body)
    else:
        recorder.emit_untraced(body)
    return recorder.decision()


def of_partition(basis: Basis, body: Body) -> Decision:
    """The decision of one event of the partition, about no instance."""
    recorder = Recorder(replace(basis, instance_id=""))
    recorder.emit_untraced(body)
    return recorder.decision()


def nothing(instance_id: str) -> Decision:
    """The decision that nothing is to be recorded."""
    return Decision(instance_id=instance_id, events=(), changes={}, cut=False, size=0)

"""Runs one instance with decide and evolve alone: an owner without a log.

Every decision is checked: its events, folded from nothing, give the live rows. `crash`
forgets everything but the events, as `kill -9` does, and a new owner takes over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.owed import (
    OwedAttempt,
    is_held,
    is_request_owed,
    owed_attempt,
    owed_moves,
    owed_timer,
)
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.commands import Command, ConflictPolicy, StartWorkflow
from sayiir_es.core.model.events import WorkflowMigrated, WorkflowStarted
from sayiir_es.core.model.inputs import (
    Commanded,
    Outcome,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS, Limits
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import (
    DictRows,
    Header,
    Row,
    get_cursors,
    get_header,
    get_value,
)
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes.task import is_running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Input


BATCH_BYTES = 1 << 20
"""What the log takes in one batch."""


class Task(Protocol):
    """What a task does with its input on an attempt: output, or an error text."""

    def __call__(self, data: bytes, attempt: int, /) -> bytes | str:
        """Run it."""
        ...


@dataclass
class OneGraph:
    """The definitions of a process that knows one graph."""

    graph: Graph
    others: tuple[Graph, ...] = ()

    def find_graphs(self, workflow: str, beginning: str) -> list[Graph]:
        """Those whose digest or hash begins so."""
        known = {one.digest: one for one in (self.graph, *self.others)}
        return [
            one
            for one in known.values()
            if one.name == workflow
            and (
                one.digest.startswith(beginning)
                or one.definition_hash.startswith(beginning)
            )
        ]

    def by_name(
        self, workflow: str, definition_hash: str | None, version: str | None = None
    ) -> Graph | None:
        """The graph, if it is meant."""
        if workflow != self.graph.name:
            return None
        if definition_hash not in (None, self.graph.definition_hash):
            return None
        if version not in (None, self.graph.version or ""):
            return None
        return self.graph

    def by_digest(self, graph_digest: str) -> Graph | None:
        """The graph, if it is meant."""
        for graph in (self.graph, *self.others):
            if graph.digest == graph_digest:
                return graph
        return None


@dataclass
class InstanceRunner:
    """An instance `i` of a graph, its events so far, and an owner's memory of it."""

    graph: Graph
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    now: int = 1_000_000
    claim: int = 0
    limits: Limits = DEFAULT_LIMITS
    batch_bytes: int = BATCH_BYTES
    rows: DictRows = field(default_factory=DictRows)
    events: list[Event] = field(default_factory=list["Event"])
    handed: set[tuple[int, str, int]] = field(default_factory=set[tuple[int, str, int]])
    executions: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    commands: int = 0
    others: tuple[Graph, ...] = ()
    """Other graphs that were published."""
    checked: ClassVar[bool] = True
    """Whether each decision is compared with the fold of all events."""

    # --- inputs -----------------------------------------------------------------------

    def decide(self, input_: Input) -> list[Event]:
        """One decision, made live, and checked against the fold of all events."""
        context = DecisionContext(
            claim=self.claim,
            now_ms=self.now,
            definitions=OneGraph(self.graph, self.others),
            limits=self.limits,
            batch_bytes=self.batch_bytes,
        )
        decision = decide(input_, self.rows, context, room=self.batch_bytes)
        self.rows.apply(decision.changes)
        self.events += decision.events
        self._follow_migrations(decision.events)
        assert not self.checked or fold(self.events) == self.rows.rows
        events = list(decision.events)
        if decision.cut:
            events += self.decide(ResumeCut(instance_id="i"))
        return events

    def _follow_migrations(self, events: Sequence[Event]) -> None:
        """Go on with the graph with which the run begins, or goes on."""
        for event in events:
            if isinstance(event.body, WorkflowStarted | WorkflowMigrated):
                known = {one.digest: one for one in (self.graph, *self.others)}
                self.graph = known[event.body.graph_digest]
                self.others = tuple(known.values())

    def command(
        self, command: Command, *, known_origin: bool = False, origin: int | None = None
    ) -> list[Event]:
        """A command at the next offset."""
        offset = self.commands
        self.commands += 1
        if not command.command_id:
            command = replace(command, command_id=f"0@{offset}")
        position = CommandPosition(
            partition=0,
            offset=offset,
            origin=None if origin is None else (1, origin),
        )
        return self.decide(
            Commanded(command=command, position=position, known_origin=known_origin)
        )

    @staticmethod
    def start_command(workflow: str, data: bytes = b"1") -> StartWorkflow:
        """A start of instance `i`."""
        return StartWorkflow(
            instance_id="i",
            command_id="",
            workflow=workflow,
            input=data,
            attributes={},
        )

    def start(
        self,
        data: bytes = b"1",
        *,
        workflow: str | None = None,
        instance_id: str = "i",
        command_id: str = "",
        conflict_policy: ConflictPolicy = "fail",
    ) -> list[Event]:
        """Start instance `i`."""
        start = self.start_command(workflow or self.graph.name, data)
        return self.command(
            replace(
                start,
                instance_id=instance_id,
                command_id=command_id,
                conflict_policy=conflict_policy,
            )
        )

    # --- running ----------------------------------------------------------------------

    def owed(self) -> list[OwedAttempt]:
        """The attempts to hand out now."""
        header = get_header(self.rows)
        if header is None:
            return []
        attempts: list[OwedAttempt] = []
        for _, cursor in get_cursors(self.rows):
            attempt = owed_attempt(header, cursor, self.graph)
            if attempt is None or attempt.not_before > self.now:
                continue
            if attempt.deadline_at is None or attempt.deadline_at > self.now:
                attempts.append(attempt)
        return attempts

    def step(self) -> bool:
        """Run one attempt that is owed; False if none is."""
        for attempt in self.owed():
            token = (attempt.run, attempt.path, attempt.attempt)
            if token in self.handed:
                continue
            self.begin(attempt)
            self.finish(attempt)
            return True
        return False

    def begin(self, attempt: OwedAttempt, *, restart: bool = False) -> None:
        """The attempt takes a slot."""
        self.handed.add((attempt.run, attempt.path, attempt.attempt))
        self.decide(
            SlotTaken(
                instance_id="i",
                run=attempt.run,
                path=attempt.path,
                attempt=attempt.attempt,
                restart=restart,
            )
        )

    def finish(self, attempt: OwedAttempt) -> list[Event]:
        """The function runs and its outcome is decided."""
        self.executions.append((attempt.path, attempt.attempt))
        data = resolve(self.rows, self.graph, attempt.input)
        task = self.tasks.get(attempt.path)
        result = task(data, attempt.attempt) if task is not None else data
        done = isinstance(result, bytes)
        return self.decide(
            Outcome(
                instance_id="i",
                run=attempt.run,
                path=attempt.path,
                attempt=attempt.attempt,
                result="completed" if done else "failed",
                output=result if isinstance(result, bytes) else None,
                error_type="" if done else "ValueError",
                error=result if isinstance(result, str) else "",
                worker="w",
            )
        )

    def fire(self) -> bool:
        """Move time to the next timer and fire it; False if there is none."""
        header, timers = get_header(self.rows), list[tuple[int, str]]()
        for chain, cursor in get_cursors(self.rows):
            timer = owed_timer(header, chain, cursor) if header is not None else None
            if timer is not None:
                timers.append((timer.due_at, timer.chain))
        if not timers:
            return False
        due_at, chain = min(timers)
        self.now = max(self.now, due_at)
        self.decide(TimerDue(instance_id="i", chain=chain, due_at=due_at))
        return True

    def hold(self) -> bool:
        """Take one attempt back that a failure or a request keeps from beginning."""
        header = get_header(self.rows)
        if header is None or not is_held(header) or header.phase != "running":
            return False
        for _, cursor in get_cursors(self.rows):
            wait = cursor.wait
            if isinstance(wait, Awaiting) and is_running(header, wait, self.now):
                self.decide(
                    Outcome(
                        instance_id="i",
                        run=header.run,
                        path=cursor.path,
                        attempt=wait.attempt,
                        result="withdrawn",
                    )
                )
                return True
        return False

    def run(self) -> None:
        """Run until nothing is owed and nothing sleeps."""
        while self.step() or self.hold() or self.fire():
            pass

    def crash_in_attempt(self) -> None:
        """The owner is lost after its attempt began; the next one begins it again."""
        self.take_over()
        for attempt in self.owed():
            self.begin(attempt, restart=attempt.begun)

    def crash(self) -> None:
        """Lose everything but the events; a new owner takes over and runs on."""
        self.take_over()
        for attempt in self.owed():
            self.begin(attempt, restart=attempt.begun)
            self.finish(attempt)

    def take_over(self) -> None:
        """Lose everything but the events; a new owner claims and looks."""
        self.rows = DictRows(fold(self.events))
        self.handed.clear()
        self.claim += 1
        header = get_header(self.rows)
        if header is None or header.run == 0:
            return
        if header.phase in ("running", "paused") and (
            owed_moves(self.rows, self.graph) or is_request_owed(self.rows, self.now)
        ):
            self.decide(ResumeCut(instance_id="i"))
        while self.decide(TakenOver(instance_id="i")):
            pass  # it may have been cut

    # --- looking ----------------------------------------------------------------------

    @property
    def header(self) -> Header:
        """The header; the instance exists."""
        header = get_header(self.rows)
        assert header is not None
        return header

    @property
    def output(self) -> bytes | None:
        """The output of a completed run."""
        return get_value(self.rows, "output")

    def kinds(self) -> list[str]:
        """The kinds of all events so far."""
        return [event.kind for event in self.events]

    def held(self) -> bool:
        """Whether a request holds moves back."""
        return is_held(self.header)

    def node(self, path: str) -> TaskNode:
        """The task at a path."""
        place = self.graph.place(path)
        assert place is not None
        assert isinstance(place.node, TaskNode)
        return place.node


def fold(events: list[Event]) -> dict[str, Row]:
    """The rows of a history, from nothing."""
    rows = DictRows()
    for event in events:
        rows.apply(evolve(rows, event))
    return rows.rows

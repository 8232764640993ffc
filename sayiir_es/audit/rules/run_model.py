"""The checker's model of one run: the open nodes, what may come next, values so far.

Theory of operation. This is no snapshot of the engine's. A run is a set of open nodes
by path, plus what the graph allows next: `may_open` holds each path that may open now
with the reference of its input, `may_close` each chain that has ended with the
reference of its result. An event must take what it uses out of these, so nothing can
happen twice, too early, or with another input.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sayiir_es.audit.rules.undo_model import UndoModel
from sayiir_es.core.graph.nodes import ForkNode

if TYPE_CHECKING:
    from sayiir_es.audit.rules.graph_model import GraphModel
    from sayiir_es.core.graph.nodes import Node

REMEMBERED_SIGNAL_IDS = 256
"""The signal ids that an instance remembers, by the contract."""

Request: TypeAlias = tuple[str | None, str | None]
"""Why and by whom a pause or cancel was asked for."""

Why: TypeAlias = tuple[str, str]
"""Error type and error of a failure."""

_SCOPE = re.compile(r".*[^/]@[0-9]+(?=/)")


class Caught(NamedTuple):
    """An error that a try caught, and the reference of what had flowed into it."""

    path: str
    error_type: str
    error: str
    input: str


class OpenNode:
    """A node that has opened and not ended."""

    __slots__ = (
        "attempt",
        "begun",
        "branch",
        "broken",
        "child_id",
        "deadline_at",
        "due_at",
        "handed_out",
        "input",
        "iteration",
        "left",
        "node",
        "not_before",
        "path",
        "permit",
        "published",
        "restarts",
        "sequence",
        "since",
        "withdrawn",
        "withdrawn_by",
    )

    def __init__(self, path: str, node: Node, reference: str, sequence: int) -> None:
        self.path = path
        self.node = node
        self.input = reference
        self.sequence = sequence
        """Of the event that opened it, or made its attempt due."""
        self.attempt = 0
        """The attempt that is awaited; 0 where none is."""
        self.since = 0
        """When its first attempt was due."""
        self.begun = False
        self.not_before = 0
        self.deadline_at: int | None = None
        self.withdrawn = False
        self.withdrawn_by = 0
        """The sequence of the event that withdrew its attempt last."""
        self.permit = ""
        """The permit that its attempt has."""
        self.broken = False
        """Its last attempt has failed."""
        self.restarts = 0
        self.published = False
        """An executor elsewhere has its attempt."""
        self.handed_out = 0
        """How often this attempt was handed to one."""
        self.due_at: int | None = None
        """When a delay or the time-out of a wait is due."""
        self.branch: str | None = None
        """The branch that a route chose."""
        self.left = 0
        """Branches of a fork that have not ended."""
        self.iteration = 0
        self.child_id = ""
        """The child whose end is awaited."""

    def next_attempt(self, attempt: int, not_before: int, sequence: int) -> None:
        """Await another attempt, with nothing left of the one before."""
        self.attempt, self.not_before, self.sequence = attempt, not_before, sequence
        self.deadline_at, self.withdrawn, self.restarts = None, False, 0
        self.broken, self.published, self.handed_out = False, False, 0
        self.permit, self.withdrawn_by = "", 0

    def is_running(self, at: int) -> bool:
        """Whether an attempt runs, or may, at that time."""
        if self.broken or self.withdrawn:
            return False
        return self.attempt > 0 and self.not_before <= at


class RequiredEvent:
    """What the next event of the instance, in the same decision, has to be."""

    __slots__ = ("invariant", "kind", "path")

    def __init__(self, invariant: str, kind: str, path: str | None = None) -> None:
        self.invariant = invariant
        self.kind = kind
        self.path = path

    def __str__(self) -> str:
        return self.kind if self.path is None else f"{self.kind} of {self.path!r}"


class RunModel:
    """One live instance: its run, and what it takes into the next run."""

    __slots__ = (
        "bases",
        "branch_results",
        "buffered",
        "cancel",
        "caught",
        "copying",
        "deadline_at",
        "doubtful",
        "failed",
        "forking",
        "forks",
        "graph",
        "in_fork",
        "instance_id",
        "keys",
        "marks",
        "may_close",
        "may_fail",
        "may_open",
        "may_request",
        "migrated",
        "needs_no_run_permit",
        "open_nodes",
        "pause",
        "paused",
        "permits",
        "quarantined",
        "queued",
        "required",
        "run",
        "run_permit",
        "scopes",
        "sequence",
        "signal_ids",
        "undo",
        "unpaused",
        "values",
        "waits",
    )

    def __init__(self, instance_id: str, run: int, sequence: int) -> None:
        self.instance_id = instance_id
        self.run = run
        self.sequence = sequence
        self.doubtful = False
        """A rule was broken: what follows would only repeat it, until a new run."""
        self.copying = False
        """The event at hand is a copy: its time and cause are the fork's."""
        self.in_fork = False
        """The decision at hand begins with a copied history."""
        self.forking = False
        """The decision at hand, or the one before, begins with a copied history."""
        self.forks = 0
        """How many `WorkflowForked` it begins with: a fork may be of a fork."""
        self.graph: GraphModel | None = None
        self.buffered: dict[str, deque[int]] = {}
        self.signal_ids: deque[str] = deque(maxlen=REMEMBERED_SIGNAL_IDS)
        self.permits: dict[str, str] = {}
        """Permits that the instance has or owes, each with its path."""
        self.values: dict[str, bytes] = {}
        self.forget_run()

    def forget_run(self) -> None:
        """Forget all that belongs to a run: the next event is the first of another."""
        self.open_nodes: dict[str, OpenNode] = {}
        self.waits: dict[str, dict[str, None]] = {}
        """By signal, the paths that wait for it, the oldest first."""
        self.may_open: dict[str, str] = {}
        self.may_close: dict[str, str] = {}
        self.may_fail: dict[str, Why | None] = {}
        """Paths at which the run has to fail, each with what was recorded of it."""
        self.may_request: set[str] = set()
        """Paths of open nodes that ask for their child anew."""
        self.bases: dict[str, tuple[str, ...]] = {}
        """By path of a failed task, the names of its error's classes."""
        self.caught: dict[str, Caught] = {}
        """By path of a try, what it caught."""
        self.branch_results: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self.scopes: dict[str, list[str]] = {}
        self.required: RequiredEvent | None = None
        self.cancel: Request | None = None
        self.pause: Request | None = None
        self.paused = False
        self.quarantined = False
        self.deadline_at: int | None = None
        """When the run is out of time."""
        self.run_permit = ""
        """The run permit that it asked for last, `ASK:KEY`."""
        self.queued = False
        """It waits for that."""
        self.needs_no_run_permit = False
        """It came by a migration to a graph that asks for one."""
        self.failed = ""
        """Where a run has failed that may be retried."""
        self.unpaused = 0
        """The sequence of the last `WorkflowUnpaused` of the run."""
        self.migrated = 0
        """The sequence of the last `WorkflowMigrated` of the run."""
        self.undo = UndoModel(self.is_fork)

    def forget_cursors(self) -> None:
        """What was done is undone: nothing of the run opens or closes any more."""
        self.open_nodes, self.waits = {}, {}
        self.may_open, self.may_close, self.may_fail = {}, {}, {}
        self.may_request = set()

    def is_fork(self, path: str) -> bool:
        """Whether a fork stands at a path."""
        return self.graph is not None and self.graph.is_container(path, ForkNode)

    @property
    def is_held(self) -> bool:
        """Whether a pause was requested, or the run stops, so that nothing moves on."""
        return self.pause is not None or self.is_stopping

    @property
    def is_stopping(self) -> bool:
        """Whether it was cancelled, or has failed, and waits for what still runs."""
        if self.undo.reason:
            return False
        return self.cancel is not None or self.undo.failed_at is not None

    def must_be_undone(self, at: int) -> bool | None:
        """Whether a failure now asks for compensations; None if nobody can tell."""
        if self.undo.to_undo:
            return True
        graph, may_be = self.graph, False
        for path, open_node in self.open_nodes.items():
            if open_node.is_running(at) and graph and graph.can_be_undone(path):
                may_be = True
        return None if may_be and self.copying else may_be

    def is_running(self, at: int) -> bool:
        """Whether any attempt runs, or may, at that time."""
        if self.queued:
            return False  # none begins before the run has its permit
        return any(open_node.is_running(at) for open_node in self.open_nodes.values())

    def end_node(self, path: str, result: str) -> None:
        """End a node: the next one of its chain may open, or its chain may close."""
        assert self.graph is not None
        del self.open_nodes[path]
        successor = self.graph.successor(path)
        if successor is None:
            self.may_close[path.rpartition("/")[0]] = result
        else:
            self.may_open[successor] = result

    def end_wait(self, signal: str, path: str) -> None:
        """End a wait for a signal."""
        del self.waits[signal][path]
        if not self.waits[signal]:
            del self.waits[signal]

    def keep(self, reference: str, data: bytes, path: str) -> None:
        """Keep a value until the iteration that `path` is in has ended."""
        self.values[reference] = data
        if "@" in path:
            scope = _SCOPE.match(path)
            if scope is not None:
                self.scopes.setdefault(scope.group(), []).append(reference)

    def leave(self, chain: str) -> None:
        """Leave a chain with all that is in it: a caught error has ended it."""
        inside = f"{chain}/"
        for path in [path for path in self.open_nodes if path.startswith(inside)]:
            open_node = self.open_nodes.pop(path)
            self.may_request.discard(path)
            signal = getattr(open_node.node, "signal", None)
            if signal is not None and path in self.waits.get(signal, ()):
                self.end_wait(signal, path)
        for by_path in (self.may_open, self.may_close, self.may_fail, self.bases):
            for path in [p for p in by_path if p == chain or p.startswith(inside)]:
                del by_path[path]

    def forget_inside(self, loop: str) -> None:
        """Forget what is left of a loop that begins again."""
        inside = f"{loop}@"
        for by_path in (
            self.may_open,
            self.may_close,
            self.branch_results,
            self.keys,
            self.caught,
        ):
            for path in [path for path in by_path if path.startswith(inside)]:
                del by_path[path]
        for body in [body for body in self.scopes if body.startswith(inside)]:
            self.forget_iteration(body)
        for reference in [r for r in self.values if r.startswith(f"value:{inside}")]:
            del self.values[reference]

    def forget_iteration(self, body: str) -> None:
        """Forget the values of an iteration that has ended."""
        for reference in self.scopes.pop(body, ()):
            self.values.pop(reference, None)
            self.marks.pop(reference, None)
        inside = body + "/"
        for by_path in (self.branch_results, self.keys, self.caught):
            for path in [path for path in by_path if path.startswith(inside)]:
                del by_path[path]


def end_of_failure(model: RunModel, path: str, invariant: str) -> RequiredEvent:
    """What has to follow the failure of a node: which of them, its own rule checks."""
    kinds = ["WorkflowFailed"]
    if model.graph is not None and model.graph.graph.has_compensations:
        kinds.append("CompensationRequested")
    return RequiredEvent(invariant, " or ".join(kinds), path)

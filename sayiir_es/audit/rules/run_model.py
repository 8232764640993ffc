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
from typing import TYPE_CHECKING, TypeAlias

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


class OpenNode:
    """A node that has opened and not ended."""

    __slots__ = (
        "attempt",
        "begun",
        "branch",
        "deadline_at",
        "due_at",
        "input",
        "iteration",
        "left",
        "node",
        "not_before",
        "path",
        "restarts",
        "sequence",
        "withdrawn",
    )

    def __init__(self, path: str, node: Node, reference: str, sequence: int) -> None:
        self.path = path
        self.node = node
        self.input = reference
        self.sequence = sequence
        """Of the event that opened it, or made its attempt due."""
        self.attempt = 0
        """The attempt that is awaited; 0 where none is."""
        self.begun = False
        self.not_before = 0
        self.deadline_at: int | None = None
        self.withdrawn = False
        self.restarts = 0
        self.due_at: int | None = None
        """When a delay or the time-out of a wait is due."""
        self.branch: str | None = None
        """The branch that a route chose."""
        self.left = 0
        """Branches of a fork that have not ended."""
        self.iteration = 0

    def next_attempt(self, attempt: int, not_before: int, sequence: int) -> None:
        """Await another attempt, with nothing left of the one before."""
        self.attempt, self.not_before, self.sequence = attempt, not_before, sequence
        self.deadline_at, self.withdrawn, self.restarts = None, False, 0

    def is_running(self, at: int) -> bool:
        """Whether an attempt runs, or may, at that time."""
        return self.attempt > 0 and not self.withdrawn and self.not_before <= at


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
        "branch_results",
        "buffered",
        "cancel",
        "copying",
        "doubtful",
        "failed",
        "forking",
        "forks",
        "graph",
        "instance_id",
        "keys",
        "marks",
        "may_close",
        "may_fail",
        "may_open",
        "open_nodes",
        "pause",
        "paused",
        "quarantined",
        "required",
        "run",
        "scopes",
        "sequence",
        "signal_ids",
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
        self.forking = False
        """The decision at hand, or the one before, begins with a copied history."""
        self.forks = 0
        """How many `WorkflowForked` it begins with: a fork may be of a fork."""
        self.graph: GraphModel | None = None
        self.buffered: dict[str, deque[int]] = {}
        self.signal_ids: deque[str] = deque(maxlen=REMEMBERED_SIGNAL_IDS)
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
        self.branch_results: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self.scopes: dict[str, list[str]] = {}
        self.required: RequiredEvent | None = None
        self.cancel: Request | None = None
        self.pause: Request | None = None
        self.paused = False
        self.quarantined = False
        self.failed = ""
        """Where a run has failed that may be retried."""
        self.unpaused = 0
        """The sequence of the last `WorkflowUnpaused` of the run."""

    @property
    def is_held(self) -> bool:
        """Whether a pause or cancel was requested, so that nothing moves on."""
        return self.cancel is not None or self.pause is not None

    def is_running(self, at: int) -> bool:
        """Whether any attempt runs, or may, at that time."""
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

    def forget_inside(self, loop: str) -> None:
        """Forget what is left of a loop that begins again."""
        inside = f"{loop}@"
        for by_path in (self.may_open, self.may_close, self.branch_results, self.keys):
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
        for by_path in (self.branch_results, self.keys):
            for path in [path for path in by_path if path.startswith(inside)]:
                del by_path[path]

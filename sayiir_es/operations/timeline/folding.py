"""From the events of an instance to its timeline.

Theory of operation. Each kind of event opens a bar, closes one, or leaves a tick, by
the path that it names. An attempt is there from when it is due; where an event says
when it got its slot, what was before is `queued`. A failed attempt is followed by its
backoff and then by the next attempt, of which the log says nothing until it has ended.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.graph.paths import join
from sayiir_es.core.model import child_events as children
from sayiir_es.core.model import compensation_events as compensations
from sayiir_es.core.model import events as e
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.operations.drawing.node_text import text_by_path
from sayiir_es.operations.timeline.drafts import RUN, Drafts, LaneDraft, ordered
from sayiir_es.operations.timeline.lanes import Bar, Tick, TickKind, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event
    from sayiir_es.operations.drawing.node_text import NodeText
    from sayiir_es.operations.timeline.lanes import BarKind, BarState, LaneKind

LANES_MAX = 200
"""Lanes of one timeline; of a fork of thousands of branches the first ones."""

DETAIL_CHARACTERS = 300
"""How much of an error a bar says."""

_ANSWERS = (e.CommandRejected, e.CommandAcknowledged, e.OutcomeRejected)
"""They may come at any time behind the end, and are no reason to draw on."""


def timeline_of(
    events: Sequence[Event], *, now_ms: int, graph: Graph | None = None
) -> Timeline:
    """The timeline of an instance, of its events in order.

    `now_ms` is where what goes on is drawn to; `graph` gives nodes the titles that
    drawings of it have.
    """
    folding = _Folding()
    moments: list[float] = []
    for at, event in _spread(events):
        if not isinstance(event.body, _ANSWERS):
            moments.append(at)
        folding.take(at, event)
    end = moments[-1] if moments else 0.0
    goes_on = folding.goes_on
    if goes_on:
        end = max(end, float(now_ms))
    titles: Mapping[str, NodeText] = {} if graph is None else text_by_path(graph)
    lanes = ordered(folding.finish(end), titles)
    return Timeline(
        start=moments[0] if moments else 0.0,
        end=end,
        lanes=tuple(lanes[:LANES_MAX]),
        moments=tuple(dict.fromkeys(moments)),
        goes_on=goes_on,
        left_out=max(len(lanes) - LANES_MAX, 0),
    )


def _spread(events: Sequence[Event]) -> Iterator[tuple[float, Event]]:
    """Each event with its time; those of one millisecond at fractions of it."""
    counts = Counter(event.at for event in events)
    seen: Counter[int] = Counter()
    for event in events:
        yield event.at + seen[event.at] / counts[event.at], event
        seen[event.at] += 1


class _Folding:
    def __init__(self) -> None:
        self.drafts = Drafts()
        self.goes_on = False
        self.at = 0.0
        self._sequence = 0
        self._withdrawn: dict[str, int] = {}
        self.branches_left: Counter[str] = Counter()

    def take(self, at: float, event: Event) -> None:
        """Fold the next event."""
        self.at, self._sequence = at, event.sequence
        handler = _HANDLERS.get(type(event.body))
        if handler is not None:
            handler(self, event.body)

    def finish(self, end: float) -> list[LaneDraft]:
        """All lanes, with what still goes on."""
        self.at = end
        for path, bar in tuple(self.drafts.still_open()):
            if bar.kind == "backoff" and (bar.due_at or 0) <= end:
                self.resume(path, int(bar.label.rpartition(" ")[2]))
        for path, bar in self.drafts.still_open():
            self.drafts.lane(path).add(bar)
        return list(self.drafts.lanes.values())

    # --- bars and ticks ---------------------------------------------------------------

    def open(
        self,
        path: str,
        kind: BarKind,
        label: str,
        lane: LaneKind = "task",
        *,
        at: float | None = None,
        due_at: int | None = None,
    ) -> None:
        bar = Bar(
            kind=kind,
            state="open",
            start=self.at if at is None else at,
            end=None,
            label=label,
            sequence=self._sequence,
            due_at=due_at,
        )
        self.drafts.open(path, bar, lane)

    def close(self, path: str, state: BarState = "done", detail: str = "") -> None:
        self.drafts.close(path, self.at, state, detail[:DETAIL_CHARACTERS])

    def tick(self, path: str, kind: TickKind, label: str) -> None:
        tick = Tick(kind=kind, at=self.at, label=label, sequence=self._sequence)
        self.drafts.lane(path, "run" if path == RUN else "task").mark(tick)

    # --- the run ----------------------------------------------------------------------

    def begin_run(self, label: str) -> None:
        self.goes_on = True
        self._withdrawn.clear()
        self.open(RUN, "run", label, "run")

    def end_run(self, state: BarState, detail: str = "") -> None:
        self.goes_on = False
        self.drafts.close_all(self.at)
        self.drafts.close(RUN, self.at, "ended", of_run="held")
        self.drafts.close(RUN, self.at, state, detail, of_run="run")

    def hold(self, label: str) -> None:
        self.open(RUN, "held", label, "run")

    def release(self) -> None:
        self.drafts.close(RUN, self.at, "ended", of_run="held")
        for path, attempt in self._withdrawn.items():
            self.open(path, "attempt", f"attempt {attempt}")
        self._withdrawn.clear()

    # --- attempts ---------------------------------------------------------------------

    def due(self, body: e.PositionUpdated) -> None:
        self._withdrawn.pop(body.path, None)
        self.open(body.path, "attempt", f"attempt {body.attempt}")

    def got_slot(self, body: e.DeadlineSet) -> None:
        self.resume(body.path, body.attempt)
        bar = self.drafts.get(body.path)
        if bar is not None and bar.kind == "attempt" and bar.start < self.at:
            self.drafts.drop(body.path)
            label = f"attempt {body.attempt} waits for a slot"
            self.open(body.path, "queued", label, at=bar.start)
            self.close(body.path)
        else:
            self.drafts.drop(body.path)
        label = f"attempt {body.attempt}"
        self.open(body.path, "attempt", label, due_at=body.deadline_at)

    def published(self, body: AttemptPublished) -> None:
        """It goes to an executor elsewhere; `got_slot` may have opened its bar."""
        self.resume(body.path, body.attempt)
        bar = self.drafts.get(body.path)
        due_at = None if bar is None else bar.due_at
        if bar is not None and bar.start < self.at:
            self.drafts.drop(body.path)
            label = f"attempt {body.attempt} waits for an executor"
            self.open(body.path, "queued", label, at=bar.start)
            self.close(body.path)
        else:
            self.drafts.drop(body.path)
        label = f"attempt {body.attempt}, executor {body.executor}"
        self.open(body.path, "attempt", label, due_at=due_at)

    def completed(self, path: str, attempt: int = 1) -> None:
        self.resume(path, attempt)
        self.close(path)

    def retried(self, body: e.RetryRecorded) -> None:
        self.resume(body.path, body.attempt)
        self.close(body.path, "retried", _error_of(body))
        label = f"waits for attempt {body.attempt + 1}"
        self.open(body.path, "backoff", label, due_at=body.next_retry_at)

    def failed(self, body: e.TaskFailed) -> None:
        self.resume(body.path, body.attempt)
        self.close(body.path, "failed", _error_of(body))

    def withdrawn(self, path: str, attempt: int) -> None:
        if self.drafts.get(path) is not None:
            self.resume(path, attempt)
            self.close(path, "ended", "withdrawn")
        self._withdrawn[path] = attempt

    def restarted(self, body: e.AttemptRestarted) -> None:
        self._withdrawn.pop(body.path, None)
        self.close(body.path, "ended", "may have begun under another owner")
        self.open(body.path, "attempt", f"attempt {body.attempt}, begun again")

    def resume(self, path: str, attempt: int) -> None:
        """An attempt has begun of which no event said so: after a backoff, or again."""
        if self._withdrawn.pop(path, None) is not None:
            self.open(path, "attempt", f"attempt {attempt}")
            return
        bar = self.drafts.get(path)
        if bar is not None and bar.kind == "backoff" and bar.due_at is not None:
            begun_at = min(max(float(bar.due_at), bar.start), self.at)
            self.drafts.close(path, begun_at)
            self.open(path, "attempt", f"attempt {attempt}", at=begun_at)

    # --- compensations ----------------------------------------------------------------

    def undone(self, body: compensations.CompensationEnded) -> None:
        self.drafts.lane(body.path).is_undone = body.undone
        if not body.undone:
            self.tick(body.path, "note", "could not be undone")


def _error_of(body: e.RetryRecorded | e.TaskFailed) -> str:
    if body.timed_out:
        return f"timed out: {body.error}"
    has_type = body.error.startswith(f"{body.error_type}:")
    return body.error if has_type else f"{body.error_type}: {body.error}"


def _inside(lane: LaneKind, label: str = "") -> Callable[[_Folding, Any], None]:
    return lambda fold, body: fold.open(body.path, "inside", label or lane, lane)


def _start_fork(fold: _Folding, body: e.ForkStarted) -> None:
    fold.branches_left[body.path] = len(body.branches)
    fold.open(body.path, "inside", f"{len(body.branches)} branches", "fork")
    for branch in body.branches:
        fold.open(join(body.path, branch), "inside", "branch", "branch")


def _end_branch(fold: _Folding, body: e.BranchCompleted) -> None:
    fold.close(join(body.path, body.branch))
    fold.branches_left[body.path] -= 1
    if fold.branches_left[body.path] <= 0:  # a route has one branch
        fold.close(body.path)


def _choose(fold: _Folding, body: e.RouteChosen) -> None:
    fold.completed(body.path)
    fold.drafts.lane(body.path).kind = "route"
    fold.open(body.path, "inside", f"takes {body.key}", "route")


def _start_loop(fold: _Folding, body: e.LoopStarted) -> None:
    fold.open(body.path, "inside", "iteration 1", "loop")


def _iterate(fold: _Folding, body: e.LoopIterated) -> None:
    fold.close(body.path, "failed" if body.outcome == "exceeded" else "done")
    if body.outcome == "again":
        fold.open(body.path, "inside", f"iteration {body.iteration + 2}", "loop")


def _caught(fold: _Folding, body: e.ErrorCaught) -> None:
    fold.drafts.close_inside(body.path, fold.at)
    fold.tick(body.path, "note", f"caught {body.error_type}: {body.error[:120]}")


def _sleep(fold: _Folding, body: e.DelayStarted) -> None:
    fold.open(body.path, "delay", "delay", "delay", due_at=body.due_at)


def _listen(fold: _Folding, body: e.SignalAwaited) -> None:
    label = f"waits for {body.signal}"
    fold.open(body.path, "signal", label, "signal", due_at=body.until_at)


def _start_child(fold: _Folding, body: children.ChildInstanceRequested) -> None:
    fold.open(body.path, "signal", f"child {body.child_id}", "child")
    if not body.waits:
        fold.close(body.path)


def _end_child(fold: _Folding, body: children.ChildInstanceEnded) -> None:
    text = f"child {body.child_id} {body.end}"
    if body.end == "completed":
        fold.close(body.path)
    else:
        fold.close(body.path, "failed", f"{text}: {body.error[:120]}")


def _timed_out(fold: _Folding, body: e.SignalTimedOut) -> None:
    fold.close(body.path, "failed" if body.error else "done", "no signal in time")


def _fail(fold: _Folding, body: e.WorkflowFailed) -> None:
    fold.end_run("failed", f"{body.error_type}: {body.error}"[:DETAIL_CHARACTERS])


def _refused(fold: _Folding, body: e.CommandRejected) -> None:
    fold.tick(RUN, "rejection", f"{body.command} rejected: {body.message}")


def _asked(fold: _Folding, what: str, body: Any) -> None:
    reason = f": {body.reason}" if body.reason else ""
    who = f" by {body.requested_by}" if body.requested_by else ""
    fold.tick(RUN, "request", f"{what} requested{who}{reason}")


def _migrated(fold: _Folding, body: e.WorkflowMigrated) -> None:
    fold.drafts.rename(PathMapping(body.mapping))
    fold.tick(RUN, "note", f"migrated to {body.definition_hash[:12]}")


def _quarantined(fold: _Folding, body: e.InstanceQuarantined) -> None:
    fold.hold(f"quarantined: {body.error_type}: {body.error}"[:DETAIL_CHARACTERS])


_HANDLERS: dict[type, Callable[[_Folding, Any], None]] = {
    e.WorkflowStarted: lambda f, _: f.begin_run("run"),
    e.WorkflowForked: lambda f, b: f.tick(
        RUN, "note", f"forked from {b.source_instance_id} at {b.source_sequence}"
    ),
    e.WorkflowRetried: lambda f, _: f.begin_run("retried"),
    e.WorkflowCompleted: lambda f, _: f.end_run("done"),
    e.WorkflowFailed: _fail,
    e.WorkflowCancelled: lambda f, _: f.end_run("ended", "cancelled"),
    e.WorkflowTerminated: lambda f, _: f.end_run("ended", "terminated"),
    e.WorkflowPaused: lambda f, _: f.hold("paused"),
    e.WorkflowUnpaused: lambda f, _: f.release(),
    e.WorkflowMigrated: _migrated,
    e.InstanceQuarantined: _quarantined,
    e.InstanceReleased: lambda f, _: f.release(),
    e.CancelRequested: lambda f, b: _asked(f, "cancel", b),
    e.PauseRequested: lambda f, b: _asked(f, "pause", b),
    e.CommandRejected: _refused,
    e.CommandAcknowledged: lambda f, b: f.tick(
        RUN, "rejection", f"{b.command} acknowledged: {b.code}"
    ),
    compensations.CompensationRequested: lambda f, _: f.tick(
        RUN, "note", "failed; what was done is to be undone"
    ),
    compensations.CompensationStarted: lambda f, _: f.tick(
        RUN, "note", "what was done is being undone"
    ),
    compensations.CompensationEnded: lambda f, b: f.undone(b),
    e.PositionUpdated: lambda f, b: f.due(b),
    e.DeadlineSet: lambda f, b: f.got_slot(b),
    e.TaskCompleted: lambda f, b: f.completed(b.path, b.attempt),
    e.RetryRecorded: lambda f, b: f.retried(b),
    e.TaskFailed: lambda f, b: f.failed(b),
    e.DeadlineCleared: lambda f, b: f.withdrawn(b.path, b.attempt),
    e.AttemptWithdrawn: lambda f, b: f.withdrawn(b.path, b.attempt),
    e.AttemptRestarted: lambda f, b: f.restarted(b),
    AttemptPublished: lambda f, b: f.published(b),
    e.OutcomeRejected: lambda f, b: f.tick(
        b.path, "rejection", f"outcome of attempt {b.attempt} rejected: {b.reason}"
    ),
    e.DelayStarted: _sleep,
    e.DelayElapsed: lambda f, b: f.close(b.path),
    e.SignalAwaited: _listen,
    e.SignalReceived: lambda f, b: f.tick(RUN, "signal", f"signal {b.signal}"),
    e.SignalConsumed: lambda f, b: f.close(b.path),
    e.SignalTimedOut: _timed_out,
    e.ForkStarted: _start_fork,
    e.BranchCompleted: _end_branch,
    e.RouteChosen: _choose,
    e.LoopStarted: _start_loop,
    e.LoopIterated: _iterate,
    e.ChildStarted: _inside("child"),
    e.ChildCompleted: lambda f, b: f.close(b.path),
    children.ChildInstanceRequested: _start_child,
    children.ChildInstanceEnded: _end_child,
    children.ChildCancelSent: lambda f, b: f.tick(
        RUN, "note", f"child {b.child_id} is cancelled"
    ),
    e.TryStarted: _inside("try", "attempt"),
    e.ErrorCaught: _caught,
    e.TryCompleted: lambda f, b: f.close(b.path),
}

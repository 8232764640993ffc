"""I1 and the order of rules for one instance: which of them an event has to keep.

Theory of operation. Whatever breaks a rule makes the run *doubtful*: what follows from
it would be told again with each event, so nothing more is told of that run than where
its sequence breaks again. A new run under the id is checked from its start. What has
ended is forgotten, but for its run and its sequence; of what failed the latest are
kept, since a retry goes on from there. One of an older is held to its sequence only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sayiir_es.audit.rules import (
    attempts,
    containers,
    copies,
    decisions,
    openings,
    quarantine,
    requests,
    runs,
    signals,
    timers,
)
from sayiir_es.audit.rules.copies import Copies
from sayiir_es.audit.rules.run_model import RunModel
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model import events as kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.audit.rules.runs import Blueprints
    from sayiir_es.core.model.events import Body, Event

Rule: TypeAlias = "Callable[[RunModel, Event], None]"


def _recorded(_model: RunModel, _event: Event) -> None:
    """An answer that changes nothing in the run."""


RULES: dict[type[Body], Rule] = {
    kinds.CommandRejected: _recorded,
    kinds.CommandAcknowledged: _recorded,
    kinds.OutcomeRejected: attempts.rejected,
    kinds.SignalReceived: signals.received,
    kinds.SignalConsumed: signals.consumed,
    kinds.SignalTimedOut: timers.signal_timed_out,
    kinds.DelayElapsed: timers.elapsed,
    kinds.PositionUpdated: openings.position,
    kinds.DelayStarted: openings.delay,
    kinds.SignalAwaited: openings.wait,
    kinds.ForkStarted: openings.fork,
    kinds.LoopStarted: openings.loop,
    kinds.ChildStarted: openings.child,
    kinds.TaskCompleted: attempts.completed,
    kinds.RetryRecorded: attempts.retried,
    kinds.TaskFailed: attempts.failed,
    kinds.DeadlineSet: attempts.deadline_set,
    kinds.DeadlineCleared: attempts.deadline_cleared,
    kinds.AttemptWithdrawn: attempts.withdrawn,
    kinds.AttemptRestarted: attempts.restarted,
    kinds.RouteChosen: containers.route_chosen,
    kinds.BranchCompleted: containers.branch_completed,
    kinds.LoopIterated: containers.loop_iterated,
    kinds.ChildCompleted: containers.child_completed,
    kinds.CancelRequested: requests.cancel_requested,
    kinds.PauseRequested: requests.pause_requested,
    kinds.WorkflowUnpaused: requests.unpaused,
    kinds.WorkflowPaused: requests.paused,
    kinds.WorkflowCancelled: requests.cancelled,
    kinds.InstanceQuarantined: quarantine.quarantined,
    kinds.WorkflowTerminated: runs.terminated,
    kinds.WorkflowCompleted: runs.completed,
    kinds.WorkflowFailed: runs.failed,
}
"""What each kind has to keep, but for those that begin a run or an instance."""

ANSWERS = frozenset({kinds.CommandRejected, kinds.CommandAcknowledged})
FIRST = frozenset({kinds.WorkflowStarted, kinds.SignalReceived, kinds.WorkflowForked})
GOES_ON = frozenset(
    {kinds.InstanceReleased, kinds.WorkflowForked, kinds.WorkflowRetried}
)
BEFORE_START = ANSWERS | {kinds.SignalReceived}
AFTER_END = ANSWERS | {kinds.OutcomeRejected}
ENDS = frozenset(
    {
        kinds.WorkflowCompleted,
        kinds.WorkflowFailed,
        kinds.WorkflowCancelled,
        kinds.WorkflowTerminated,
    }
)
FAILED_KEPT = 10_000
"""Failed runs that are remembered whole, a partition."""


class Past(NamedTuple):
    """What is remembered of a run that has ended."""

    run: int
    sequence: int
    failed: bool


class InstanceRules:
    """Every instance of one partition: the live ones whole, of the others a number."""

    def __init__(self, blueprints: Blueprints) -> None:
        self.live: dict[str, RunModel] = {}
        self.copies = Copies()
        self._blueprints = blueprints
        self._ended: dict[str, Past] = {}
        self._failed: OrderedDict[str, RunModel] = OrderedDict()

    def known(self, instance_id: str) -> bool:
        """Whether the instance has left a trace."""
        return instance_id in self.live or instance_id in self._ended

    def check(self, event: Event, *, begins: bool) -> None:
        """Check an event; `begins` says that it is the first of its decision.

        Raises:
            BreachError: if it breaks an invariant.
        """
        copying, breach = self.copies.meet(event, begins=begins)
        try:
            self._check(event, begins=begins, copying=copying)
        except BreachError:
            if breach is None:
                raise
        if breach is not None:
            raise breach

    def _check(self, event: Event, *, begins: bool, copying: bool) -> None:
        if event.sequence == 0:
            self._check_without_trace(event)
            return
        model = self.live.get(event.instance_id)
        if model is None:
            model = self._met(event)
            if model is None:
                return
        model.copying = copying
        try:
            self._check_sequence(event, model.sequence)
            if not model.doubtful or isinstance(event.body, kinds.WorkflowStarted):
                self._check_run(model, event, begins=begins)
        except BreachError:
            model.doubtful = True
            raise
        finally:
            model.sequence = event.sequence
            if type(event.body) in ENDS:
                self._end(model)

    def _met(self, event: Event) -> RunModel | None:
        """An instance that is not live: a new one, or one whose run has ended."""
        past = self._ended.get(event.instance_id)
        kind = type(event.body)
        if past is None:
            if kind not in FIRST:
                self._doubt(event)
                raise BreachError(
                    "I1",
                    f"WorkflowStarted or SignalReceived first of {event.instance_id!r}",
                    f"{event.kind} with sequence {event.sequence}",
                )
            model = RunModel(event.instance_id, 0, 0)
        elif kind in {kinds.WorkflowStarted, kinds.WorkflowRetried}:
            del self._ended[event.instance_id]
            failed = self._failed.pop(event.instance_id, None)
            if failed is not None and kind is kinds.WorkflowRetried:
                model = failed
                model.sequence = past.sequence
            else:
                model = RunModel(event.instance_id, past.run, past.sequence)
                model.failed = "somewhere" if past.failed else ""
        else:
            self._check_ended(event, past)
            return None
        self.live[event.instance_id] = model
        return model

    def _check_ended(self, event: Event, past: Past) -> None:
        self._ended[event.instance_id] = past._replace(sequence=event.sequence)
        try:
            self._check_sequence(event, past.sequence)
            _check_answer(event, past.run)
        except BreachError:
            self._doubt(event)
            raise

    def _doubt(self, event: Event) -> None:
        """What follows in this run is not worth telling."""
        self._ended.pop(event.instance_id, None)
        if type(event.body) in ENDS:
            failed = isinstance(event.body, kinds.WorkflowFailed)
            self._ended[event.instance_id] = Past(event.run, event.sequence, failed)
            return
        model = RunModel(event.instance_id, event.run, event.sequence)
        model.doubtful = True
        self.live[event.instance_id] = model

    def _check_without_trace(self, event: Event) -> None:
        if type(event.body) not in ANSWERS:
            raise BreachError("I1", f"a sequence of {event.kind} from 1", "0")
        if self.known(event.instance_id):
            raise BreachError("I1", "a sequence, as the instance exists", "0")
        _check_run_number(event, 0)

    @staticmethod
    def _check_sequence(event: Event, before: int) -> None:
        if event.sequence != before + 1:
            raise BreachError(
                "I1", f"sequence {before + 1}", f"{event.kind} with {event.sequence}"
            )

    def _check_run(self, model: RunModel, event: Event, *, begins: bool) -> None:
        kind = type(event.body)
        if begins and model.forking:
            copies.check_taken_back(model, event)
        if kind in GOES_ON:
            _check_goes_on(model, event)
            return
        if model.must is not None:
            decisions.check_must(model, event, begins=begins)
        elif begins:
            decisions.check_begins(model, event)
        if isinstance(event.body, kinds.WorkflowStarted):
            if model.doubtful:
                model.blueprint, model.run = None, event.run - 1
            runs.started(model, event, self._blueprints)
            return
        if model.blueprint is None and kind not in BEFORE_START:
            raise BreachError("I1", "WorkflowStarted before", event.kind)
        _check_run_number(event, model.run)
        if model.held or model.quarantined:
            _check_held(model, event)
        rule = RULES.get(kind)
        if rule is None:
            raise BreachError("I5", "an event of an instance", event.kind)
        rule(model, event)

    def _end(self, model: RunModel) -> None:
        last_copy = model.copying and not self.copies.left
        if (
            model.must is not None
            and model.must.kind == "WorkflowStarted"
            and not last_copy  # its source went on, the fork has ended there
        ):
            model.blueprint = None  # its successor comes in the same decision
            return
        self.live.pop(model.instance_id, None)
        failed = bool(model.failed)
        self._ended[model.instance_id] = Past(model.run, model.sequence, failed)
        if model.failed and not model.doubtful:
            self._failed[model.instance_id] = model
            if len(self._failed) > FAILED_KEPT:
                self._failed.popitem(last=False)


def _check_goes_on(model: RunModel, event: Event) -> None:
    """What begins with all that stood before, here or in another instance."""
    if isinstance(event.body, kinds.WorkflowForked):
        copies.forked(model, event)
        _check_run_number(event, 0)
    elif isinstance(event.body, kinds.InstanceReleased):
        quarantine.released(model, event)
    elif model.failed and model.blueprint is None:  # failed too long ago
        model.doubtful, model.run = True, event.run
    else:
        runs.retried(model, event)


def _check_held(model: RunModel, event: Event) -> None:
    """A request, or a quarantine, holds every move back."""
    if model.quarantined:
        quarantine.check_stands_still(event)
    if model.held:
        requests.check_held(model, event)


def _check_answer(event: Event, run: int) -> None:
    """Behind the end of a run stand only answers."""
    if type(event.body) not in AFTER_END:
        raise BreachError(
            "I7", f"nothing but answers behind the end of run {run}", event.kind
        )
    _check_run_number(event, run)


def _check_run_number(event: Event, run: int) -> None:
    # That of a rejected outcome is its token's, which may be of any run.
    if event.run != run and not isinstance(event.body, kinds.OutcomeRejected):
        raise BreachError("I7", f"run {run}", f"{event.kind} of run {event.run}")

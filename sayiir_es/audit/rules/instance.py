"""I1 and the order of rules for one instance: which of them an event has to keep.

Theory of operation. Whatever breaks a rule makes the run *doubtful*: what follows from
it would be reported again with each event, so nothing more is reported of that run than
a further break of its sequence. A new run under the id is checked from its start. Of a
run that has ended only its number and sequence are kept; of failed runs the latest are
kept whole, since a retry goes on from there. A retry of an older one is checked for its
sequence only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sayiir_es.audit.rules import (
    attempts,
    child_instances,
    compensations,
    containers,
    decisions,
    forks,
    migrations,
    node_starts,
    permits,
    quarantine,
    requests,
    run_permits,
    runs,
    signals,
    timers,
    tries,
)
from sayiir_es.audit.rules.child_instances import Family
from sayiir_es.audit.rules.forks import ForkedHistory
from sayiir_es.audit.rules.run_model import RequiredEvent, RunModel
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.model import events as kinds
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.child_events import (
    ChildInstanceEnded,
    ChildInstanceRequested,
    ChildStartRefused,
)
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
    CompensationStarted,
)
from sayiir_es.core.model.permit_events import PermitReleased, PermitTaken
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitMessageSent,
    RunPermitTaken,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.audit.rules.runs import GraphModels
    from sayiir_es.core.model.events import Body, Event

Rule: TypeAlias = "Callable[[RunModel, Event], None]"


def _recorded(_model: RunModel, _event: Event) -> None:
    """An answer that changes nothing in the run."""


def _rejected(model: RunModel, _event: Event) -> None:
    """As above; one that is the first of an instance is of a child's start."""
    if model.sequence == 0:
        model.required = RequiredEvent("I25", ChildStartRefused.__name__)


RULES: dict[type[Body], Rule] = {
    kinds.CommandRejected: _rejected,
    kinds.CommandAcknowledged: _recorded,
    kinds.OutcomeRejected: attempts.check_outcome_rejected,
    kinds.SignalReceived: signals.check_received,
    kinds.SignalConsumed: signals.check_consumed,
    kinds.SignalTimedOut: timers.check_signal_timed_out,
    kinds.DelayElapsed: timers.check_delay_elapsed,
    kinds.PositionUpdated: node_starts.check_position,
    kinds.DelayStarted: node_starts.check_delay,
    kinds.SignalAwaited: node_starts.check_wait,
    kinds.ForkStarted: node_starts.check_fork,
    kinds.LoopStarted: node_starts.check_loop,
    kinds.ChildStarted: node_starts.check_child,
    kinds.TryStarted: node_starts.check_try,
    kinds.TaskCompleted: attempts.check_task_completed,
    kinds.RetryRecorded: attempts.check_retry,
    kinds.TaskFailed: attempts.check_task_failed,
    kinds.DeadlineSet: attempts.check_deadline_set,
    kinds.DeadlineCleared: attempts.check_deadline_cleared,
    kinds.AttemptWithdrawn: attempts.check_withdrawn,
    kinds.AttemptRestarted: attempts.check_restarted,
    AttemptPublished: attempts.check_published,
    kinds.RouteChosen: containers.check_route_chosen,
    kinds.BranchCompleted: containers.check_branch_completed,
    kinds.LoopIterated: containers.check_loop_iterated,
    kinds.ChildCompleted: containers.check_child_completed,
    kinds.ErrorCaught: tries.check_caught,
    kinds.TryCompleted: tries.check_try_completed,
    kinds.CancelRequested: requests.check_cancel_requested,
    kinds.PauseRequested: requests.check_pause_requested,
    kinds.WorkflowUnpaused: requests.check_unpaused,
    kinds.WorkflowPaused: requests.check_paused,
    kinds.WorkflowCancelled: runs.check_cancelled,
    kinds.InstanceQuarantined: quarantine.check_quarantined,
    kinds.WorkflowTerminated: runs.check_terminated,
    kinds.WorkflowCompleted: runs.check_run_completed,
    kinds.WorkflowFailed: runs.check_run_failed,
    CompensationRequested: runs.check_requested,
    CompensationStarted: compensations.check_started,
    CompensationEnded: compensations.check_ended,
    PermitTaken: permits.check_taken,
    PermitReleased: permits.check_released,
    RunPermitAsked: run_permits.check_asked,
    RunPermitTaken: run_permits.check_taken,
    RunPermitMessageSent: run_permits.check_sent,
}
"""What each kind has to keep, but for those that begin a run or an instance."""

ANSWERS = frozenset({kinds.CommandRejected, kinds.CommandAcknowledged})
FIRST = frozenset(
    {
        kinds.WorkflowStarted,
        kinds.SignalReceived,
        kinds.WorkflowForked,
        kinds.CommandRejected,
    }
)
GOES_ON = frozenset(
    {kinds.InstanceReleased, kinds.WorkflowForked, kinds.WorkflowRetried}
)
BEFORE_START = ANSWERS | {kinds.SignalReceived} | child_instances.KINDS
MOVES_OF_RUN = requests.MOVES | {kinds.TaskCompleted}
"""What only comes in a run that has the permit which its workflow asks for."""
OF_PERMITS: frozenset[type[Body]] = frozenset(
    {PermitTaken, PermitReleased, RunPermitTaken, RunPermitMessageSent}
)
AFTER_END = ANSWERS | {kinds.OutcomeRejected} | OF_PERMITS | child_instances.KINDS
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


class EndedRun(NamedTuple):
    """What the checker remembers of a run that has ended."""

    run: int
    sequence: int
    failed: bool


class InstanceRules:
    """Every instance of one partition: the live ones whole, of the others a number."""

    def __init__(self, graphs: GraphModels) -> None:
        self.live: dict[str, RunModel] = {}
        self.fork = ForkedHistory()
        self._graphs = graphs
        self._ended_runs: dict[str, EndedRun] = {}
        self._failed_runs: OrderedDict[str, RunModel] = OrderedDict()
        self._permits: dict[str, dict[str, str]] = {}
        """What instances whose run has ended have taken, and not released."""
        self._families: dict[str, Family] = {}
        """What instances owe to others, of those that do."""

    def has_instance(self, instance_id: str) -> bool:
        """Whether the instance has left a trace."""
        return instance_id in self.live or instance_id in self._ended_runs

    def check(self, event: Event, *, begins: bool) -> None:
        """Check an event; `begins` says that it is the first of its decision.

        Raises:
            BreachError: if it breaks an invariant.
        """
        copying, breach = self.fork.take(event, begins=begins)
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
            model = self._model_of(event, copying=copying)
            if model is None:
                return
        model.copying = copying
        model.in_fork = self.fork.instance_id == event.instance_id
        try:
            self._check_sequence(event, model.sequence)
            if not model.doubtful or isinstance(event.body, kinds.WorkflowStarted):
                self._check_run(model, event, begins=begins)
        except BreachError:
            model.doubtful = True
            raise
        finally:
            model.sequence = event.sequence
            self._take_for_family(model, event)
            if type(event.body) in ENDS:
                self._end(model)

    def _model_of(self, event: Event, *, copying: bool) -> RunModel | None:
        """An instance that is not live: a new one, or one whose run has ended."""
        ended = self._ended_runs.get(event.instance_id)
        kind = type(event.body)
        if ended is None:
            if kind not in FIRST:
                self._mark_doubtful(event)
                raise BreachError(
                    "I1",
                    f"WorkflowStarted or SignalReceived first of {event.instance_id!r}",
                    f"{event.kind} with sequence {event.sequence}",
                )
            model = RunModel(event.instance_id, 0, 0)
        elif kind is kinds.WorkflowMigrated and ended.failed:
            self._check_failed(event, ended)
            return None
        elif kind in {kinds.WorkflowStarted, kinds.WorkflowRetried}:
            del self._ended_runs[event.instance_id]
            failed = self._failed_runs.pop(event.instance_id, None)
            if failed is not None and kind is kinds.WorkflowRetried:
                model = failed
                model.sequence = ended.sequence
            else:
                model = RunModel(event.instance_id, ended.run, ended.sequence)
                model.failed = "somewhere" if ended.failed else ""
        else:
            self._check_ended(event, ended, copying=copying)
            return None
        self.live[event.instance_id] = model
        model.permits = self._permits.pop(event.instance_id, {})
        return model

    def _check_ended(self, event: Event, ended: EndedRun, *, copying: bool) -> None:
        self._ended_runs[event.instance_id] = ended._replace(sequence=event.sequence)
        try:
            self._check_sequence(event, ended.sequence)
            _check_answer(event, ended.run)
            if copying:
                pass  # the source owed it, and its own history shows whether it may
            elif type(event.body) in child_instances.KINDS:
                self._check_family(event, ended.run)
            elif isinstance(event.body, PermitTaken | PermitReleased):
                permits.check_ended(self._permits, event)
        except BreachError:
            self._mark_doubtful(event)
            raise

    def _check_failed(self, event: Event, ended: EndedRun) -> None:
        """A failed run migrates, to be retried then."""
        self._ended_runs[event.instance_id] = ended._replace(sequence=event.sequence)
        model = self._failed_runs.get(event.instance_id)
        try:
            self._check_sequence(event, ended.sequence)
            _check_run_number(event, ended.run)
            if model is not None:  # else it failed too long ago
                migrations.check_migrated(model, event, self._graphs)
        except BreachError:
            self._failed_runs.pop(event.instance_id, None)
            self._mark_doubtful(event)
            raise

    def _mark_doubtful(self, event: Event) -> None:
        """Report nothing more of this run."""
        self._ended_runs.pop(event.instance_id, None)
        if type(event.body) in ENDS:
            failed = isinstance(event.body, kinds.WorkflowFailed)
            self._ended_runs[event.instance_id] = EndedRun(
                event.run, event.sequence, failed
            )
            return
        model = RunModel(event.instance_id, event.run, event.sequence)
        model.doubtful = True
        self.live[event.instance_id] = model

    def _check_without_trace(self, event: Event) -> None:
        if type(event.body) not in ANSWERS:
            raise BreachError("I1", f"a sequence of {event.kind} from 1", "0")
        if self.has_instance(event.instance_id):
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
            forks.check_attempts_withdrawn(model, event)
        if kind in GOES_ON:
            _check_goes_on(model, event)
            return
        is_required = model.required is not None
        if is_required:
            decisions.check_required(model, event, begins=begins)
        elif begins:
            decisions.check_begins(model, event)
        if isinstance(event.body, kinds.WorkflowStarted):
            if model.doubtful:
                model.graph, model.run = None, event.run - 1
            runs.check_started(model, event, self._graphs)
            return
        if model.graph is None and kind not in BEFORE_START:
            raise BreachError("I1", "WorkflowStarted before", event.kind)
        _check_run_number(event, model.run)
        if model.is_held or model.quarantined:
            _check_held(model, event)
        if not is_required and kind in MOVES_OF_RUN:
            run_permits.check_goes_on(model, event)
        self._check_kind(model, event)

    def _check_family(
        self, event: Event, ended_run: int, model: RunModel | None = None
    ) -> None:
        """Check what an instance owes to others; its run is live with a `model`."""
        copying = model is not None and model.copying
        family = self._families.setdefault(event.instance_id, Family())
        body = event.body
        if not copying:
            child_instances.RULES[type(body)](family, event, ended_run)
        if isinstance(body, ChildInstanceEnded):
            live = model or self._failed_runs.get(event.instance_id)
            if live is not None and live.graph is not None:
                child_instances.take_end(live, event, has_ended=model is None)
        self._forget_family(event.instance_id, family)

    def _forget_family(self, instance_id: str, family: Family) -> None:
        if family.is_empty:
            self._families.pop(instance_id, None)

    def _take_for_family(self, model: RunModel, event: Event) -> None:
        """What begins, moves or ends a run does to what its instance owes."""
        body, instance_id = event.body, event.instance_id
        family = self._families.get(instance_id)
        if isinstance(body, kinds.WorkflowStarted) and body.parent_secret:
            family = family or self._families.setdefault(instance_id, Family())
        if family is None:
            return
        if isinstance(body, kinds.WorkflowStarted):
            family.start(body, copying=model.copying)
        elif isinstance(body, kinds.WorkflowMigrated):
            family.move(PathMapping(body.mapping))
        elif type(body) in ENDS:
            family.end(event.run)
        self._forget_family(instance_id, family)

    def _check_kind(self, model: RunModel, event: Event) -> None:
        if type(event.body) in child_instances.KINDS:
            ended_run = 0 if model.graph is None else model.run - 1
            self._check_family(event, ended_run, model)
            return
        if isinstance(event.body, ChildInstanceRequested):
            family = self._families.setdefault(event.instance_id, Family())
            child_instances.check_requested(family, model, event)
            self._forget_family(event.instance_id, family)
            return
        if isinstance(event.body, kinds.WorkflowMigrated):
            migrations.check_migrated(model, event, self._graphs)
            return
        rule = RULES.get(type(event.body))
        if rule is None:
            raise BreachError("I5", "an event of an instance", event.kind)
        rule(model, event)

    def _end(self, model: RunModel) -> None:
        last_copy = model.copying and not self.fork.left
        if (
            model.required is not None
            and model.required.kind == "WorkflowStarted"
            and not last_copy  # its source went on, the fork has ended there
        ):
            model.graph = None  # its successor comes in the same decision
            return
        self.live.pop(model.instance_id, None)
        if model.permits:
            self._permits[model.instance_id] = model.permits
        failed = bool(model.failed)
        self._ended_runs[model.instance_id] = EndedRun(
            model.run, model.sequence, failed
        )
        if model.failed and not model.doubtful:
            self._failed_runs[model.instance_id] = model
            if len(self._failed_runs) > FAILED_KEPT:
                self._failed_runs.popitem(last=False)


def _check_goes_on(model: RunModel, event: Event) -> None:
    """What begins with all that stood before, here or in another instance."""
    if isinstance(event.body, kinds.WorkflowForked):
        forks.check_forked(model, event)
        _check_run_number(event, 0)
    elif isinstance(event.body, kinds.InstanceReleased):
        quarantine.check_released(model, event)
    elif model.failed and model.graph is None:  # failed too long ago
        model.doubtful, model.run = True, event.run
    else:
        runs.check_retried(model, event)


def _check_held(model: RunModel, event: Event) -> None:
    """A request, or a quarantine, holds every move back."""
    if model.quarantined:
        quarantine.check_stands_still(event)
    if model.is_held:
        requests.check_held(model, event)


def _check_answer(event: Event, run: int) -> None:
    """After the end of a run come only answers."""
    if type(event.body) not in AFTER_END:
        raise BreachError(
            "I7", f"nothing but answers behind the end of run {run}", event.kind
        )
    _check_run_number(event, run)


def _check_run_number(event: Event, run: int) -> None:
    # That of a rejected outcome is its token's, which may be of any run.
    if event.run != run and not isinstance(event.body, kinds.OutcomeRejected):
        raise BreachError("I7", f"run {run}", f"{event.kind} of run {event.run}")

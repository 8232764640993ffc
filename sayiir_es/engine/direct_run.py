"""A run that nobody else can see: decided by the core, with no log, store or loop.

Theory of operation. A call without a backend, or on one `memory:` log of its own, makes
an instance that is gone when it returns. So there is nothing to append, to publish, to
claim or to ask for. What remains of decide → append → ack → evolve → act is done here,
one step after the other: the same `decide` makes the same events, folded into the same
rows, and the same code calls the tasks. Who drives it calls what is owed, and reports.

That is for runs in which no two things happen at once, and none is to be ended from
outside: see `can_run_directly`. All others take an engine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from sayiir_es.core.decide.owed import owed_attempt
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.graph.nodes import ForkNode, StartChildNode, TaskNode
from sayiir_es.core.graph.references import resolve, size_of
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.events import CommandRejected
from sayiir_es.core.model.inputs import Commanded, ResumeCut
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.model.rows import DictRows, get_cursors, get_header
from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.named_values import (
    context_of,
    given_value,
    named_values,
    with_named,
)
from sayiir_es.engine.attempts.outcomes import OutcomeMaker, no_input
from sayiir_es.engine.attempts.task_variables import task_variables
from sayiir_es.engine.meter import NO_METER
from sayiir_es.engine.owner.deciding import decide_or_tell
from sayiir_es.engine.owner.failure_lines import FAILURES, log_failures
from sayiir_es.engine.requests.describing import describe
from sayiir_es.log.batch_size import MAX_BATCH_BYTES
from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from contextvars import Context

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.commands import StartWorkflow
    from sayiir_es.core.model.events import Body
    from sayiir_es.core.model.inputs import DecisionFailed, Input, Outcome
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.definitions.registry import Registry

WORKER = "direct"
"""As which worker outcomes are told."""


def can_run_directly(workflow: Workflow, registry: Registry) -> bool:
    """Whether a run of a workflow does one thing at a time, all of it right here.

    No branches beside each other and no instances of their own; nothing that a limit
    or a time-out holds back or ends; no processes, and no executors elsewhere.
    """
    graph = workflow.graph
    if graph.timeout_ms is not None or graph.start_queue is not None:
        return False
    if workflow.children or graph.has_limits:
        return False
    runnables = [registry.runnable(graph.digest, path) for path in workflow.functions]
    if any(one is None or one.in_process for one in runnables):
        return False
    return all(_is_direct(place.node) for place in graph.places.values())


def _is_direct(node: Node) -> bool:
    if isinstance(node, ForkNode | StartChildNode):
        return False
    return not isinstance(node, TaskNode) or (
        node.timeout_ms is None
        and node.heartbeat_timeout_ms is None
        and node.execute == "local"
    )


class DirectCall:
    """An attempt that is to be called now.

    Attributes:
        variables: The context variables in which it is to be called.
        is_async: Whether its function is a coroutine function.
    """

    def __init__(self, attempt: Attempt, outcomes: OutcomeMaker) -> None:
        runnable = attempt.runnable
        assert runnable is not None
        self.is_async = runnable.is_async
        self._attempt = attempt
        self._outcomes = outcomes
        self._context = context_of(attempt)
        self.variables: Context = task_variables(self._context)
        self._stage: Literal["decoding", "running"] = "decoding"

    def call(self) -> object:
        """Call the function on its input; inside of `variables`."""
        value = given_value(self._attempt, JSON_PAYLOADS)
        called = with_named(self._attempt, self._context, JSON_PAYLOADS)
        self._stage = "running"
        return called(value)

    def returned(self, result: object) -> Outcome:
        """The outcome of a result; to encode it may run users' code, too."""
        try:
            return self._outcomes.completed(self._attempt, result)
        except Exception as error:  # noqa: BLE001 (becomes the attempt's outcome)
            return self._outcomes.raised(self._attempt, "encoding", error)

    def raised(self, error: BaseException) -> Outcome:
        """The outcome of what was raised while it was called."""
        return self._outcomes.raised(self._attempt, self._stage, error)


class DirectRun:
    """One instance, from its start until it has ended or is parked."""

    partition = 0

    def __init__(self, start: StartWorkflow, graph: Graph, registry: Registry) -> None:
        """Nothing is decided yet; `registry` has the code of the graph."""
        self._start = start
        self._graph = graph
        self._registry = registry
        self._rows = DictRows()
        self._outcomes = OutcomeMaker(WORKER, DEFAULT_LIMITS)
        self._now_ms = 0

    def begin(self) -> CommandRejected | None:
        """Decide on the start; what it was rejected for, if it was."""
        position = CommandPosition(partition=self.partition, offset=0)
        first = self._decide(Commanded(command=self._start, position=position))
        return first if isinstance(first, CommandRejected) else None

    def next(self) -> DirectCall | float | None:
        """What is owed: a call, or a pause of so many seconds; None: nothing more."""
        while True:
            owed = self._owed()
            if owed is None:
                return None
            wait_ms = owed.not_before - time.time_ns() // 1_000_000
            if wait_ms > 0:
                return wait_ms / 1000
            attempt = self._new_attempt(owed)
            problem = self._take_input(attempt, owed)
            if problem is None:
                return DirectCall(attempt, self._outcomes)
            self._decide(problem)

    def report(self, outcome: Outcome) -> None:
        """Decide on what an attempt ended with."""
        self._decide(outcome)

    def status(self) -> Status | None:
        """The status of the instance as it stands."""
        return describe(
            self._rows,
            self._start.instance_id,
            self._registry,
            partition=self.partition,
            code=self._registry.get_own_code(),
        )

    # --- of an attempt's owner --------------------------------------------------------

    def granted(self, attempt: Attempt) -> None:
        """It has no slot to wait for."""

    def room_freed(self) -> None:
        """It waits for no room."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """Who calls it reports."""

    # --- inside -----------------------------------------------------------------------

    def _owed(self) -> OwedAttempt | None:
        rows = self._rows
        header = get_header(rows)
        if header is None:
            return None
        owed = (owed_attempt(header, one, self._graph) for _, one in get_cursors(rows))
        return min(
            (one for one in owed if one is not None),
            key=lambda one: one.not_before,
            default=None,
        )

    def _new_attempt(self, owed: OwedAttempt) -> Attempt:
        return Attempt(
            instance_id=self._start.instance_id,
            run=owed.run,
            path=owed.path,
            number=owed.attempt,
            owner=self,
            runnable=self._registry.runnable(self._graph.digest, owed.path),
        )

    def _take_input(
        self, attempt: Attempt, owed: OwedAttempt
    ) -> Outcome | DecisionFailed | None:
        """Give an attempt its input; what it ends with, where that cannot be done."""
        rows, graph, most = self._rows, self._graph, DEFAULT_LIMITS.input_bytes
        try:
            named = named_values(rows, attempt)
            size = size_of(rows, graph, owed.input)
            size += sum(map(len, named.values())) if named else 0
            if size > most:
                return self._outcomes.input_too_large(attempt, size, most)
            attempt.input, attempt.named = resolve(rows, graph, owed.input), named
        except HistoryError as error:
            return no_input(attempt, error)
        return None

    def _decide(self, input_: Input) -> Body | None:
        """Decide, and make it live; the body of the first event, if there is one."""
        first: Body | None = None
        cut: Input | None = input_
        while cut is not None:
            self._now_ms = max(self._now_ms, time.time_ns() // 1_000_000)
            decision = decide_or_tell(
                cut,
                self._start.instance_id,
                self._rows,
                self._context(),
                MAX_BATCH_BYTES,
            )
            self._rows.apply(decision.changes)
            failures = [one for one in decision.events if type(one.body) in FAILURES]
            log_failures(failures, self._rows_of, NO_METER)
            if first is None and decision.events:
                first = decision.events[0].body
            cut = ResumeCut(instance_id=decision.instance_id) if decision.cut else None
        return first

    def _rows_of(self, _instance_id: str) -> DictRows:
        return self._rows

    def _context(self) -> DecisionContext:
        return DecisionContext(
            claim=0,
            now_ms=self._now_ms,
            definitions=self._registry,
            limits=DEFAULT_LIMITS,
            batch_bytes=MAX_BATCH_BYTES,
        )

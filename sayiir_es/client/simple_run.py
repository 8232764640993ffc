"""How the simple engine goes through a workflow's steps: chains, retries, containers.

Theory of operation. A *run* is a generator, so that it serves callers with and without
an event loop. It calls plain functions itself, if it may, and yields what it cannot do:
a pause, or a call that takes an event loop. What is sent to it is that call's result,
what is thrown into it the call's error.

Branches run one after another, so what was done is undone in the reverse order of all
that was completed. Then the failure is raised; notes on it name what was undone.
"""

from __future__ import annotations

import contextvars
import inspect
import json
import math
import time
import traceback
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, assert_never, cast

from sayiir_es.client.loop_thread import Interruption
from sayiir_es.client.simple_failures import SimpleFailures
from sayiir_es.client.simple_steps import (
    ChildStep,
    DelayStep,
    ForkStep,
    LoopStep,
    RouteStep,
    SignalStep,
    StartChildStep,
    Step,
    TaskStep,
    TryStep,
    simple_workflow_of,
)
from sayiir_es.core.authoring.compensations import INPUT, RESULT
from sayiir_es.core.authoring.hints import PLAIN
from sayiir_es.core.authoring.loop_result import LoopResult, loop_result_of
from sayiir_es.core.authoring.tasks import may_try_again
from sayiir_es.core.backoff import retry_delay_ms
from sayiir_es.core.graph.child_ids import child_id_of
from sayiir_es.core.model.errors import (
    DecodeError,
    DeserializationError,
    EncodeError,
    TaskError,
    WorkflowError,
)
from sayiir_es.core.nodes.run_deadline import timeout_text as run_timeout_text
from sayiir_es.core.nodes.task import timeout_text
from sayiir_es.engine.attempts.named_values import with_both
from sayiir_es.engine.attempts.outcomes import encode_error_text
from sayiir_es.engine.attempts.task_context import CONTEXT, TaskExecutionContext
from sayiir_es.engine.attempts.tracing import attempt_span
from sayiir_es.engine.tracer import is_tracing
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.local_payload import (
    LocalPayload,
    decode_local,
    encode_local,
    json_of,
)
from sayiir_es.wire.taking import check_taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from sayiir_es.client.simple_steps import SimpleWorkflow, Steps


logger = get_logger(__name__)


@dataclass(slots=True)
class AttemptCall:
    """A call of a user's function that takes a thread or an event loop.

    Attributes:
        step: Whose function it is.
        value: What it is given.
        context: What the function may know about itself.
        variables: The context variables that it sees.
        started: What the function has returned already, and is to be awaited.
        seconds: Its time-out, or what is left of it.
        is_timed_out: Set where the time-out ended it.
    """

    step: TaskStep
    value: object
    context: TaskExecutionContext
    variables: contextvars.Context
    started: Awaitable[object] | None
    seconds: float | None
    is_timed_out: bool = False


Request: TypeAlias = AttemptCall | float
"""What a run cannot do itself; a number is a pause in seconds."""

Passed: TypeAlias = LocalPayload | LoopResult[LocalPayload]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Completed:
    """A task that was completed and can be undone.

    `results` are those that its compensation needs by name, by the paths of nodes.
    """

    path: str
    task_id: str
    compensation: TaskStep
    given: LocalPayload
    results: dict[str, LocalPayload] | None


class SimpleRun:
    """One run of one workflow."""

    def __init__(self, simple: SimpleWorkflow, *, calls_plain: bool) -> None:
        self._steps = simple.steps
        self._name = simple.graph.name
        self._metadata = simple.graph.metadata
        self._timeout_ms = simple.graph.timeout_ms
        self._ends_at_s: float | None = None
        """When the run is out of time, by the monotonic clock."""
        self._calls_plain = calls_plain
        self._failures = SimpleFailures()
        self._results: dict[str, LocalPayload] | None = {} if simple.has_needs else None
        """By the paths of nodes, for tasks that need some by name; empty: the input."""
        self._completed: list[_Completed] = []

    def run(self, value: object) -> Generator[Request, object, object]:
        """Give the output of the workflow; send it the results of its requests."""
        start = encode_local(value)
        if self._timeout_ms is not None:
            self._ends_at_s = time.monotonic() + self._timeout_ms / 1000
        if self._results is not None:
            self._results[""] = start
        try:
            data = yield from self._chain(self._steps, start)
        except Interruption:
            raise
        except Exception as error:
            yield from self._undo(error)
            raise
        return value_of(data)

    def _undo(self, error: Exception) -> Generator[Request, object, None]:
        """Undo what was completed, the last first, and say so on the failure."""
        undone: dict[str, list[str]] = {"compensated": [], "not compensated": []}
        for completed in reversed(self._completed):
            step, outcome = completed.compensation, "compensated"
            self._results = completed.results
            try:
                yield from self._task(step, completed.given)
            except WorkflowError as failure:
                outcome = "not compensated"
                logger.error(  # noqa: TRY400 (the text holds the traceback)
                    "task.compensation_failed",
                    task_id=completed.task_id,
                    path=completed.path,
                    reason=str(failure),
                )
            undone[outcome].append(completed.path)
        for outcome, paths in undone.items():
            if paths:
                error.add_note(f"{outcome}: {', '.join(paths)}")

    def _chain(
        self, steps: Steps, data: LocalPayload
    ) -> Generator[Request, object, Passed]:
        passed: Passed = data
        for step in steps:
            if isinstance(step, DelayStep):
                yield from self._pause(step.seconds)
                continue
            data = passed.value if isinstance(passed, LoopResult) else passed
            match step:
                case TaskStep():
                    passed = yield from self._task(step, data)
                    self._remember(step, data, passed)
                case SignalStep():
                    raise TaskError(
                        f"Cannot resume workflow: AwaitSignal '{step.node_id}' not "
                        "supported in sync executor"
                    )
                case StartChildStep():
                    passed = yield from self._start_child(step, data)
                case _:
                    passed = yield from self._container(step, data)
            if self._results is not None:
                self._keep(self._results, step, passed)
        return passed

    def _remember(self, step: TaskStep, data: LocalPayload, passed: Passed) -> None:
        """Keep what undoes a task that was completed, with all that it needs."""
        undo, results = step.compensation, None
        if undo is None:
            return
        if self._results is not None:
            results = {need.path: self._results[need.path] for need in undo.node.needs}
        both = {INPUT: decode_local(data), RESULT: value_of(passed)}
        self._completed.append(
            _Completed(
                path=step.path,
                task_id=step.node.id,
                compensation=undo,
                given=encode_local(both),
                results=results,
            )
        )

    @staticmethod
    def _keep(results: dict[str, LocalPayload], step: Step, passed: Passed) -> None:
        match step:
            case TaskStep() | LoopStep() | TryStep() | StartChildStep():
                path = step.path
            case RouteStep():
                path = step.key.path
            case _:
                return
        results[path] = passed.value if isinstance(passed, LoopResult) else passed

    # --- time ------------------------------------------------------------------------

    def _seconds_left(self) -> float:
        """How long the run may take from now on.

        Raises:
            TaskError: if it is out of time.
        """
        if self._ends_at_s is None:
            return math.inf
        left_s = self._ends_at_s - time.monotonic()
        if left_s <= 0:
            raise TaskError(run_timeout_text(self._name, self._timeout_ms))
        return left_s

    def _pause(self, seconds: float) -> Generator[Request, object, None]:
        yield min(seconds, self._seconds_left())
        self._seconds_left()

    def _limit(self, step: TaskStep) -> float | None:
        """The time-out of a call: the task's own, or what is left of the run's."""
        if self._ends_at_s is None:
            return step.seconds
        own_s = math.inf if step.seconds is None else step.seconds
        return min(own_s, self._seconds_left())

    # --- containers -------------------------------------------------------------------

    def _container(
        self,
        step: ForkStep | RouteStep | LoopStep | ChildStep | TryStep,
        data: LocalPayload,
    ) -> Generator[Request, object, Passed]:
        match step:
            case ForkStep():
                return (yield from self._fork(step, data))
            case RouteStep():
                return (yield from self._route(step, data))
            case LoopStep():
                return (yield from self._loop(step, data))
            case ChildStep():
                return (yield from self._chain(step.steps, data))
            case TryStep():
                return (yield from self._try(step, data))
            case _:
                assert_never(step)

    def _fork(
        self, step: ForkStep, data: LocalPayload
    ) -> Generator[Request, object, LocalPayload]:
        results: dict[str, object] = {}
        for key, steps in step.branches:
            results[key] = value_of((yield from self._chain(steps, data)))
        return encode_local(results)

    def _route(
        self, step: RouteStep, data: LocalPayload
    ) -> Generator[Request, object, LocalPayload]:
        key = value_of((yield from self._task(step.key, data)))
        if not isinstance(key, str):
            wrong = DeserializationError(
                f"Failed to decode input for task {step.node_id!r} (expected String "
                f"(branch key)): {type(key).__name__}"
            )
            raise self._failures.of_node(
                wrong, "decode", task=step.node_id, path=step.key.path
            )
        steps = step.branches.get(key, step.default)
        if steps is None:
            raise self._failures.of_node(
                TaskError(
                    f"Branch node {step.node_id!r}: no branch matches key {key!r}"
                ),
                "no_branch",
                task=step.node_id,
                path=step.key.path,
            )
        result = value_of((yield from self._chain(steps, data)))
        return encode_local({"branch": key, "result": result})

    def _loop(
        self, step: LoopStep, data: LocalPayload
    ) -> Generator[Request, object, LocalPayload]:
        node, failures = step.node, self._failures
        for iteration in range(node.max_iterations):
            failures.iterations.append((step.path, iteration))
            try:
                result = yield from self._chain(step.body, data)
            finally:
                failures.iterations.pop()
            if not isinstance(result, LoopResult):
                wrong = DeserializationError(
                    f"Failed to decode input for task {node.id!r} (expected "
                    f"LoopEnvelope): {json_of(result)[:80]!r}"
                )
                raise failures.of_node(
                    wrong, "bad_loop_result", task=node.id, path=step.path
                )
            data = result.value
            if result.is_done:
                return data
        if node.on_max == "exit_with_last":
            return data
        exceeded = TaskError(
            f"Loop {node.id!r} exceeded max iterations ({node.max_iterations})"
        )
        raise failures.of_node(exceeded, "max_iterations", task=node.id, path=step.path)

    def _try(
        self, step: TryStep, data: LocalPayload
    ) -> Generator[Request, object, Passed]:
        around = list(self._failures.iterations)
        try:
            return (yield from self._chain(step.body, data))
        except (TaskError, DeserializationError, DecodeError) as error:
            failure = self._failures.caught_by(step.node, error)
            if failure is None:
                raise
        self._failures.iterations = around
        caught = {"error": failure.as_value(), "input": decode_local(data)}
        return (yield from self._chain(step.handler, encode_local(caught)))

    def _start_child(
        self, step: StartChildStep, data: LocalPayload
    ) -> Generator[Request, object, LocalPayload]:
        """Run the child here and now; its failure counts where it is waited for."""
        node, failures = step.node, self._failures
        path = failures.concrete(step.path)
        child_id = child_id_of(node.child_id, self._name, path)
        if step.workflow is None:
            missing = TaskError(
                f"expected the workflow {node.workflow!r} of child {child_id!r}, but "
                "only its name is known without a log: give start_child the workflow"
            )
            raise failures.of_node(
                missing, "unknown_workflow", task=node.id, path=step.path
            )
        child = SimpleRun(
            simple_workflow_of(step.workflow), calls_plain=self._calls_plain
        )
        try:
            output = yield from child.run(value_of(data))
        except Interruption:
            raise
        except WorkflowError as error:
            if node.waits:
                raise failures.of_child(
                    error, child.failures, task=node.id, path=step.path
                ) from error
            logger.warning(
                "child.failed", workflow=node.workflow, path=path, reason=str(error)
            )
            return encode_local(child_id)
        return encode_local(output if node.waits else child_id)

    @property
    def failures(self) -> SimpleFailures:
        """Why it has failed, if it has."""
        return self._failures

    # --- tasks ------------------------------------------------------------------------

    def _task(
        self, step: TaskStep, data: LocalPayload
    ) -> Generator[Request, object, Passed]:
        attempt, begun_s = 0, time.monotonic() if step.node.retry is not None else 0.0
        while True:
            attempt += 1
            self._seconds_left()
            call: AttemptCall | None = None
            is_of_input = True
            context = self._context(step, attempt)
            variables = contextvars.Context()
            variables.run(CONTEXT.set, context)
            try:
                value = _given(step, data)
                called = self._with_named(step, context)
                is_of_input = False
                result: object = None
                started: Awaitable[object] | None = None
                is_done = self._calls_plain and step.is_plain
                if is_done:
                    call_plain = _call_in_span if is_tracing() else _call
                    result = variables.run(call_plain, called, value, context)
                    if inspect.isawaitable(result):
                        started, is_done = result, False
                if not is_done:
                    call = AttemptCall(
                        called, value, context, variables, started, self._limit(step)
                    )
                    result = yield call
                return _encoded(step, result)
            except DecodeError as error:
                raise self._failures.of_error(
                    error, error, task=step.node.id, path=step.path
                ) from None
            except Interruption:
                raise
            except Exception as error:  # noqa: BLE001 (becomes the TaskError)
                failure = error
            self._seconds_left()
            is_timed_out = call is not None and call.is_timed_out
            delay_ms = None
            if is_timed_out or may_try_again(
                step.function, failure, is_of_input=is_of_input
            ):
                delay_ms = _next_delay_ms(step, attempt, failure, begun_s)
            if delay_ms is None:
                raise self._failed(
                    step, failure, is_timed_out=is_timed_out
                ) from failure
            yield from self._pause(delay_ms / 1000)

    def _failed(
        self, step: TaskStep, failure: Exception, *, is_timed_out: bool
    ) -> TaskError:
        task, path, failures = step.node.id, step.path, self._failures
        error = _task_error(step, failure, is_timed_out=is_timed_out)
        if is_timed_out:
            return failures.of_node(error, "timeout", task=task, path=path)
        return failures.of_error(error, failure, task=task, path=path)

    def _with_named(self, step: TaskStep, context: TaskExecutionContext) -> TaskStep:
        """The step with all that its function needs by name."""
        function = step.function
        if not step.node.needs and not step.takes_context and not step.takes_both:
            return step
        values: dict[str, object] = {}
        for need in step.node.needs:
            data = (self._results or {})[need.path]
            hint = step.hints.named.get(need.name, PLAIN)
            values[need.name] = decode_local(data, hint)
        if step.takes_context:
            values["context"] = context
        called = partial(function, **values)
        return replace(step, function=with_both(called) if step.takes_both else called)

    def _context(self, step: TaskStep, attempt: int) -> TaskExecutionContext:
        metadata = self._metadata
        return TaskExecutionContext(
            workflow_id=self._name,
            instance_id=self._name,
            task_id=step.node.id,
            node=step.node,
            workflow_metadata=None if metadata is None else json.loads(metadata),
            attempt=attempt,
            deadline_at=None,
            idempotency_key=step.idempotency_key,
        )


def _given(step: TaskStep, data: LocalPayload) -> object:
    """The input of a task as its function takes it."""
    if not step.takes_both:
        return decode_local(data, step.hints.first)
    both = cast("dict[str, object]", decode_local(data, PLAIN))
    hinted = (*step.hints.positional, PLAIN, PLAIN)
    parts = (encode_local(both[INPUT]), encode_local(both[RESULT]))
    return tuple(decode_local(*one) for one in zip(parts, hinted, strict=False))


def _task_error(step: TaskStep, failure: Exception, *, is_timed_out: bool) -> TaskError:
    if is_timed_out:
        return TaskError(timeout_text(step.node.id, step.node.timeout_ms or 0))
    trace = "".join(traceback.format_exception(failure))
    return TaskError(f"{encode_error_text(failure)}\n\n{trace}")


def _next_delay_ms(
    step: TaskStep, attempt: int, failure: Exception, begun_s: float
) -> int | None:
    """The wait before the next attempt, in milliseconds; None where none follows."""
    retry = None if isinstance(failure, EncodeError) else step.node.retry
    if retry is None or attempt > retry.max_retries:
        return None
    delay_ms = retry_delay_ms(retry, attempt, step.path)
    elapsed_ms = (time.monotonic() - begun_s) * 1000 + delay_ms
    if retry.max_elapsed_ms is not None and elapsed_ms > retry.max_elapsed_ms:
        return None
    return delay_ms


def _encoded(step: TaskStep, result: object) -> Passed:
    if step.ends_loop:
        loop_result = loop_result_of(result)
        if loop_result is not None:
            # A value that JSON cannot hold is a failure of this task.
            return LoopResult(loop_result.tag, encode_local(loop_result.value))
    encoded = encode_local(result)
    if step.takers:
        check_taken(json_of(encoded), step.takers)
    return encoded


def _call(step: TaskStep, value: object, context: TaskExecutionContext) -> object:
    del context  # as of `_call_in_span`
    return step.function(value)


def _call_in_span(
    step: TaskStep, value: object, context: TaskExecutionContext
) -> object:
    with attempt_span(context):
        return step.function(value)


def value_of(data: Passed) -> object:
    """The value that is passed on, without the wrapper of a loop's body."""
    return decode_local(data.value if isinstance(data, LoopResult) else data)

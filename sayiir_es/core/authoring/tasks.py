"""`@task` and what it says about a function: id, time-out, retries, tags, priority."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args, overload

from sayiir_es.core.authoring.hints import first_parameter_hint, return_hint
from sayiir_es.core.authoring.retries import (
    ErrorTypes,
    RetryPolicy,
    error_types,
    is_retriable,
)
from sayiir_es.core.duration import duration_ms, parse_duration
from sayiir_es.core.graph.key_templates import LIMIT_MAX, check_template
from sayiir_es.core.graph.nodes import Concurrency, TaskNode
from sayiir_es.core.memory_size import parse_memory_size
from sayiir_es.core.model.rates import parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.core.graph.nodes import Execute

F = TypeVar("F", bound="Callable[..., object]")

Compensation: TypeAlias = "Callable[[Any, Any], object] | Callable[..., object]"
"""A user's function that undoes a task: it takes the task's input and its result, or
both as one argument. The first form lets type checkers read a lambda.

Of any type: a user's own annotations say which, and a lambda has none.
"""

Executor: TypeAlias = Literal["loop", "thread", "process"]
"""Where the attempts of a task run in a worker: on its event loop, in a thread, or in a
process of its own that is kept for the next one."""

TAGS_MAX = 20
TAG_LENGTH_MAX = 64
PRIORITY_FIRST, PRIORITY_LAST = 1, 5


@dataclass(frozen=True, slots=True)
class TaskMetadata:
    """What `@task` says about a function.

    Attributes:
        display_name: A name for people.
        description: A sentence for people.
        timeout_secs: How long one attempt may take, in seconds; None: for ever.
        retries: When a failed attempt is tried again; None: never.
        tags: What a worker must have to run it, a list as Sayiir has it, or None.
        version: Part of the definition hash when given.
        priority: 1 (first) to 5 (last); None is 3.
        retry_on: The only exceptions after which another attempt follows; None: all but
            those of `no_retry_on` and what says of itself that it cannot help.
        no_retry_on: Exceptions after which none follows.
        compensate: What undoes what it did, when the run fails or is cancelled.
        executor: Where its attempts run; None: on the loop where it is async, else in a
            thread. It is no part of the graph, for it decides nothing.
        memory: How many bytes its process may have; None: as the worker says.
        concurrency_key: Which attempts share a limit: a template.
        max_concurrency: How many of them run at a time.
        rate: How many of them begin in a time.
        fairness_key: Between which attempts slots are given in turn: a template.
        execute: `local`, anywhere; `remote`, with executors elsewhere only.
        heartbeat_timeout_secs: How long an attempt may go on without a heartbeat, in
            seconds; None: for ever.
    """

    display_name: str | None = None
    description: str | None = None
    timeout_secs: float | None = None
    retries: RetryPolicy | None = None
    tags: list[str] | None = None
    version: str | None = None
    priority: int | None = None
    retry_on: tuple[type[BaseException], ...] | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()
    compensate: Compensation | None = None
    executor: Executor | None = None
    memory: int | None = None
    concurrency_key: str | None = None
    max_concurrency: int | None = None
    rate: str | None = None
    fairness_key: str | None = None
    execute: Execute = "local"
    heartbeat_timeout_secs: float | None = None

    def __post_init__(self) -> None:
        if self.execute not in ("local", "remote"):
            raise ValueError(
                f"expected execute to be local or remote, but {self.execute!r}"
            )
        if self.heartbeat_timeout_secs is not None:
            duration_ms(self.heartbeat_timeout_secs, what="heartbeat_timeout")
        if self.timeout_secs is not None:
            duration_ms(self.timeout_secs, what="timeout")
        _check_tags(self.tags or [])
        first, last = PRIORITY_FIRST, PRIORITY_LAST
        if self.priority is not None and not first <= self.priority <= last:
            raise ValueError(
                f"priority must be between {first} and {last}, got {self.priority}"
            )
        if self.executor not in (None, *get_args(Executor)):
            raise ValueError(
                f"expected executor to be one of {', '.join(get_args(Executor))}, but "
                f"{self.executor!r}"
            )
        if self.memory is not None and self.executor != "process":
            raise ValueError(
                'expected executor="process" where memory is given, for only a process '
                f"can be held to it, but executor={self.executor!r}"
            )
        _check_limit(self.concurrency_key, self.max_concurrency, self.rate)
        if self.fairness_key is not None:
            check_template(self.fairness_key, "fairness_key")

    @classmethod
    def of(cls, node: TaskNode) -> TaskMetadata:
        """What a graph holds of it: no name, no description and no exceptions."""
        limited = node.concurrency
        return cls(
            timeout_secs=None if node.timeout_ms is None else node.timeout_ms / 1000,
            retries=None if node.retry is None else RetryPolicy.of(node.retry),
            tags=list(node.tags) or None,
            version=node.version,
            priority=node.priority,
            concurrency_key=None if limited is None else limited.key,
            max_concurrency=None if limited is None else limited.limit or None,
            rate=None if limited is None else limited.rate,
            fairness_key=node.fairness_key,
            execute=node.execute,
            heartbeat_timeout_secs=(
                None
                if node.heartbeat_timeout_ms is None
                else node.heartbeat_timeout_ms / 1000
            ),
        )

    def to_node(self, task_id: str) -> TaskNode:
        """The task as the graph holds it."""
        return TaskNode(
            id=task_id,
            timeout_ms=(
                None
                if self.timeout_secs is None
                else duration_ms(self.timeout_secs, what="timeout")
            ),
            retry=None if self.retries is None else self.retries.to_retry(),
            version=self.version,
            priority=self.priority,
            tags=tuple(self.tags or ()),
            compensate=(
                None
                if self.compensate is None
                else compensation_node(self.compensate, task_id)
            ),
            concurrency=(
                None
                if self.concurrency_key is None
                else Concurrency(
                    key=self.concurrency_key,
                    limit=self.max_concurrency or 0,
                    rate=self.rate,
                )
            ),
            fairness_key=self.fairness_key,
            execute=self.execute,
            heartbeat_timeout_ms=(
                None
                if self.heartbeat_timeout_secs is None
                else duration_ms(self.heartbeat_timeout_secs, what="heartbeat_timeout")
            ),
        )


@overload
def task(func: F) -> F: ...
@overload
def task(
    func: str | None = None,
    *,
    name: str | None = None,
    timeout: str | float | None = None,
    timeout_secs: float | None = None,
    retries: int | RetryPolicy | None = None,
    tags: Sequence[str] | None = None,
    description: str | None = None,
    priority: int | None = None,
    version: str | None = None,
    retry_on: ErrorTypes | None = None,
    no_retry_on: ErrorTypes | None = None,
    compensate: Compensation | None = None,
    executor: Executor | None = None,
    memory: str | int | None = None,
    concurrency_key: str | None = None,
    max_concurrency: int | None = None,
    rate: str | None = None,
    fairness_key: str | None = None,
    execute: Execute = "local",
    heartbeat_timeout: str | float | None = None,
) -> Callable[[F], F]: ...
def task(  # noqa: PLR0913 (Sayiir's signature)
    func: F | str | None = None,
    *,
    name: str | None = None,
    timeout: str | float | None = None,
    timeout_secs: float | None = None,
    retries: int | RetryPolicy | None = None,
    tags: Sequence[str] | None = None,
    description: str | None = None,
    priority: int | None = None,
    version: str | None = None,
    retry_on: ErrorTypes | None = None,
    no_retry_on: ErrorTypes | None = None,
    compensate: Compensation | None = None,
    executor: Executor | None = None,
    memory: str | int | None = None,
    concurrency_key: str | None = None,
    max_concurrency: int | None = None,
    rate: str | None = None,
    fairness_key: str | None = None,
    execute: Execute = "local",
    heartbeat_timeout: str | float | None = None,
) -> F | Callable[[F], F]:
    """Say how a function is run as a task; the function itself stays as it is.

    `@task`, `@task("id")` and `@task(name="id", …)` are the same but for the id, which
    is the function's name otherwise. The function takes one argument, and may be
    `async`.

    Args:
        func: The function, or the task's id.
        name: The task's id.
        timeout: How long one attempt may take: seconds, or a text such as "30s".
        timeout_secs: The same in seconds; `timeout` wins.
        retries: How many attempts may follow the first (from 1 s on, doubling), or a
            policy.
        tags: What a worker must have to run it; at most 20 of 1 to 64 characters.
        description: A sentence for people.
        priority: 1 (critical) to 5 (minimal); 3 when left out.
        version: Part of the definition hash when given.
        retry_on: An exception class, or several: another attempt follows these only.
        no_retry_on: None follows these, whatever `retry_on` says.
        compensate: A function that undoes what the task did: when the run fails or is
            cancelled behind it, it is called with the task's input and its result. It
            may be marked by `@task` itself, with a time-out, retries and so on.
        executor: Where its attempts run in a worker: `"loop"`, which is what async
            functions do, `"thread"`, which is what others do, or `"process"`: a process
            that is kept for the next attempt, and killed at a time-out.
        memory: How much its process may have, as bytes or a text such as "512MB"; an
            attempt that takes more is killed, and has failed.
        concurrency_key: Of all attempts in the app under one key at most
            `max_concurrency` run at a time, and `rate` begin in a time. A fixed text,
            or one with `{workflow}`, `{workflow_input.FIELD}` or `{input.FIELD}`, which
            must be a text or a whole number: else the attempt fails with
            `unreadable_key`.
        max_concurrency: How many; 1 to 100,000.
        rate: How many begin in a time, as a text: "10/s", "100/min", "5/h", "1/d"; with
            "10/s burst 20" up to 20 at once, after a time of fewer; without, 1.
        fairness_key: Slots are given in turn to the attempts of each such key; the
            concurrency key when left out.
        execute: "remote" has its attempts run by executors in other processes, never
            by a worker; "local" (anywhere) by a worker that can, else by an executor.
        heartbeat_timeout: An attempt fails (`heartbeat_timeout`) that does not call
            `get_task_context().heartbeat()` for so long: seconds, or a text.

    Raises:
        TypeError: if `retry_on` or `no_retry_on` is no exception class, or `compensate`
            is no function, or `executor` does not fit the function.
        ValueError: if an option is out of its range.
    """
    limit = timeout_secs if timeout is None else parse_duration(timeout)
    metadata = TaskMetadata(
        description=description,
        timeout_secs=limit,
        retries=(
            RetryPolicy(max_retries=retries) if isinstance(retries, int) else retries
        ),
        tags=None if tags is None else list(tags),
        version=version,
        priority=priority,
        retry_on=None if retry_on is None else error_types(retry_on, "retry_on"),
        no_retry_on=error_types(no_retry_on or (), "no_retry_on"),
        compensate=None if compensate is None else check_compensation(compensate),
        executor=executor,
        memory=None if memory is None else parse_memory_size(memory),
        concurrency_key=concurrency_key,
        max_concurrency=max_concurrency,
        rate=rate,
        fairness_key=fairness_key,
        execute=execute,
        heartbeat_timeout_secs=(
            None if heartbeat_timeout is None else parse_duration(heartbeat_timeout)
        ),
    )
    own_id = func if isinstance(func, str) else name

    def mark(marked: F) -> F:
        return _marked(marked, own_id, metadata)

    if func is None or isinstance(func, str):
        return mark
    return mark(func)


def _marked(function: F, own_id: str | None, metadata: TaskMetadata) -> F:
    """The function, with what is said about it."""
    task_id = own_id or getattr(function, "__name__", None)
    _check_executor(function, metadata.executor)
    attributes = {
        "_task_id": task_id,
        "_metadata": replace(metadata, display_name=task_id),
        "_input_type": first_parameter_hint(function),
        "_output_type": return_hint(function),
    }
    for name, value in attributes.items():
        setattr(function, name, value)
    return function


def compensation_node(function: Callable[..., object], task_id: str) -> TaskNode:
    """The compensation of a task as the graph holds it."""
    name = getattr(function, "_task_id", None) or getattr(function, "__name__", None)
    if not name or name == "<lambda>":
        name = f"{task_id}::compensate"
    return metadata_of(function).to_node(str(name))


def check_compensation(function: Callable[..., object]) -> Callable[..., object]:
    """The function, if it is one.

    Raises:
        TypeError: if it is none.
    """
    if not callable(function):
        raise TypeError(
            f"expected compensate to be a function, but {type(function).__name__}: "
            f"{function!r}"
        )
    return function


def _check_executor(function: Callable[..., object], executor: str | None) -> None:
    """Refuse a place that would not run a function as it is meant to."""
    is_async = inspect.iscoroutinefunction(function)
    name = getattr(function, "__name__", repr(function))
    if executor == "thread" and is_async:
        raise TypeError(
            f'expected executor="loop" or "process" of async {name!r}, but "thread", '
            "which has no event loop"
        )
    if executor == "loop" and not is_async:
        raise TypeError(
            f"expected an async function on the loop, but {name!r} is none, and would "
            'hold up all others: leave executor out, or say "thread" or "process"'
        )


def _check_limit(key: str | None, limit: int | None, rate: str | None) -> None:
    """Refuse a limit or a rate without a key, a key without these, and what is none."""
    if key is None and limit is None and rate is None:
        return
    if key is None:
        given = "max_concurrency" if rate is None else "rate"
        raise ValueError(
            f"expected {given} together with a concurrency_key, but without one"
        )
    if limit is None and rate is None:
        raise ValueError(
            "expected concurrency_key together with max_concurrency or rate, but alone"
        )
    check_template(key, "concurrency_key")
    if limit is not None and not 1 <= limit <= LIMIT_MAX:
        raise ValueError(
            f"expected max_concurrency between 1 and {LIMIT_MAX}, but {limit}"
        )
    if rate is not None:
        parse_rate(rate)


def _check_tags(tags: Sequence[str]) -> None:
    """Refuse, in Sayiir's words, tags that it refuses."""
    if len(tags) > TAGS_MAX:
        raise ValueError(f"too many tags: {len(tags)} (max {TAGS_MAX})")
    for tag in tags:
        if not tag:
            raise ValueError("tags must not contain empty strings")
        if len(tag) > TAG_LENGTH_MAX:
            raise ValueError(
                f"tag too long: '{tag}' ({len(tag)} chars, max {TAG_LENGTH_MAX})"
            )


def metadata_of(function: Callable[..., object]) -> TaskMetadata:
    """What `@task` said about a function; nothing for a plain one."""
    metadata = getattr(function, "_metadata", None)
    return metadata if isinstance(metadata, TaskMetadata) else TaskMetadata()


def may_try_again(
    function: Callable[..., object], error: BaseException, *, is_of_input: bool
) -> bool:
    """Whether another attempt may help after what a task raised; see `is_retriable`."""
    metadata = metadata_of(function)
    return is_retriable(
        error, metadata.retry_on, metadata.no_retry_on, is_of_input=is_of_input
    )

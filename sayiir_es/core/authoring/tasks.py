"""`@task` and what it says about a function: id, time-out, retries, tags, priority."""

from __future__ import annotations

import inspect
import math
import typing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, overload

from sayiir_es.core.duration import duration_ms, parse_duration
from sayiir_es.core.graph.nodes import Retry, TaskNode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., object]")

TAGS_MAX = 20
TAG_LENGTH_MAX = 64
PRIORITY_FIRST, PRIORITY_LAST = 1, 5


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed attempt is tried again, and after which time.

    Attributes:
        max_retries: Attempts after the first; 0 means none.
        initial_delay_secs: Wait before the first retry, in seconds.
        backoff_multiplier: Each further wait is so many times the one before.
        max_delay_secs: No wait is longer than this, in seconds; None: no limit.
        jitter: Share (0 to 1) by which a wait may be shortened, so that many do not
            come back at once.
    """

    max_retries: int = 2
    initial_delay_secs: float = 1.0
    backoff_multiplier: float = 2.0
    max_delay_secs: float | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        checks = {
            "max_retries": self.max_retries,
            "initial_delay_secs": self.initial_delay_secs,
            "backoff_multiplier": self.backoff_multiplier,
            "max_delay_secs": self.max_delay_secs or 0.0,
            "jitter": self.jitter,
        }
        for name, number in checks.items():
            if not math.isfinite(number) or number < 0:
                raise ValueError(f"expected {name} ≥ 0 and finite, but {number!r}")
        if self.jitter > 1:
            raise ValueError(f"expected jitter of 0 to 1, but {self.jitter!r}")

    @classmethod
    def of(cls, retry: Retry) -> RetryPolicy:
        """The policy of what a graph holds."""
        most = retry.max_delay_ms
        return cls(
            max_retries=retry.max_retries,
            initial_delay_secs=retry.initial_delay_ms / 1000,
            backoff_multiplier=retry.backoff_multiplier,
            max_delay_secs=None if most is None else most / 1000,
            jitter=retry.jitter,
        )

    def to_retry(self) -> Retry:
        """The policy as the graph holds it."""
        most = self.max_delay_secs
        return Retry(
            max_retries=self.max_retries,
            initial_delay_ms=duration_ms(self.initial_delay_secs, what="delay"),
            backoff_multiplier=float(self.backoff_multiplier),
            max_delay_ms=None if most is None else duration_ms(most, what="delay"),
            jitter=float(self.jitter),
        )


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
    """

    display_name: str | None = None
    description: str | None = None
    timeout_secs: float | None = None
    retries: RetryPolicy | None = None
    tags: list[str] | None = None
    version: str | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        if self.timeout_secs is not None:
            duration_ms(self.timeout_secs, what="timeout")
        _check_tags(self.tags or [])
        first, last = PRIORITY_FIRST, PRIORITY_LAST
        if self.priority is not None and not first <= self.priority <= last:
            raise ValueError(
                f"priority must be between {first} and {last}, got {self.priority}"
            )

    @classmethod
    def of(cls, node: TaskNode) -> TaskMetadata:
        """What a graph holds of it: neither display name nor description."""
        return cls(
            timeout_secs=None if node.timeout_ms is None else node.timeout_ms / 1000,
            retries=None if node.retry is None else RetryPolicy.of(node.retry),
            tags=list(node.tags) or None,
            version=node.version,
            priority=node.priority,
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

    Raises:
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
    )
    own_id = func if isinstance(func, str) else name

    def mark(marked: F) -> F:
        hints = _hints(marked)
        task_id = own_id or getattr(marked, "__name__", None)
        attributes = {
            "_task_id": task_id,
            "_metadata": replace(metadata, display_name=task_id),
            "_input_type": _first_hint(marked, hints),
            "_output_type": hints.get("return"),
        }
        for name_, value in attributes.items():
            setattr(marked, name_, value)
        return marked

    if func is None or isinstance(func, str):
        return mark
    return mark(func)


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


def _hints(function: Callable[..., object]) -> dict[str, object]:
    try:
        return dict(typing.get_type_hints(function))
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}  # a name that is not importable: the task runs without its hints


def _first_hint(
    function: Callable[..., object], hints: dict[str, object]
) -> object | None:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return hints.get(names[0]) if names else None

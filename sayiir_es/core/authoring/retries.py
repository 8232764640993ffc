"""When a failed attempt is tried again: how often, how long, and after which errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

from sayiir_es.core.duration import duration_ms
from sayiir_es.core.graph.nodes import Retry
from sayiir_es.core.model.errors import NonRetryableError, TaskError

ErrorTypes: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]
"""An exception class, or several: what `except` takes."""


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
        max_elapsed: No attempt is due later than this after the first one was: seconds,
            or a text such as "10m"; None: no limit.
    """

    max_retries: int = 2
    initial_delay_secs: float = 1.0
    backoff_multiplier: float = 2.0
    max_delay_secs: float | None = None
    jitter: float = 0.0
    max_elapsed: str | float | None = None

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
        if self.max_elapsed is not None:
            duration_ms(self.max_elapsed, what="max_elapsed")

    @classmethod
    def of(cls, retry: Retry) -> RetryPolicy:
        """The policy of what a graph holds."""
        most, elapsed = retry.max_delay_ms, retry.max_elapsed_ms
        return cls(
            max_retries=retry.max_retries,
            initial_delay_secs=retry.initial_delay_ms / 1000,
            backoff_multiplier=retry.backoff_multiplier,
            max_delay_secs=None if most is None else most / 1000,
            jitter=retry.jitter,
            max_elapsed=None if elapsed is None else elapsed / 1000,
        )

    def to_retry(self) -> Retry:
        """The policy as the graph holds it."""
        most, elapsed = self.max_delay_secs, self.max_elapsed
        return Retry(
            max_retries=self.max_retries,
            initial_delay_ms=duration_ms(self.initial_delay_secs, what="delay"),
            backoff_multiplier=float(self.backoff_multiplier),
            max_delay_ms=None if most is None else duration_ms(most, what="delay"),
            jitter=float(self.jitter),
            max_elapsed_ms=(
                None if elapsed is None else duration_ms(elapsed, what="max_elapsed")
            ),
        )


def error_types(given: ErrorTypes, what: str) -> tuple[type[BaseException], ...]:
    """The exception classes of an option.

    Raises:
        TypeError: if one of them is none; `what` names the option.
    """
    kinds = given if isinstance(given, tuple) else (given,)
    for kind in cast("tuple[object, ...]", kinds):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"expected exception classes for {what}, but {kind!r}")
    return kinds


def is_retriable(
    error: BaseException,
    retry_on: tuple[type[BaseException], ...] | None,
    no_retry_on: tuple[type[BaseException], ...],
    *,
    is_of_input: bool = False,
) -> bool:
    """Whether another attempt may help, by what `@task` says.

    `NonRetryableError` says of itself that it cannot. Neither can it, unless `retry_on`
    names them, after a `TaskError` that the task raised and after an input that did not
    fit (`is_of_input`): it is the same again.
    """
    if isinstance(error, (NonRetryableError, *no_retry_on)):
        return False
    if retry_on is not None:
        return isinstance(error, retry_on)
    return not (is_of_input or isinstance(error, TaskError))

"""What is tried again, durable or not: the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from sayiir_es import (
    Flow,
    InMemoryBackend,
    NonRetryableError,
    RetryPolicy,
    TaskError,
    run_durable_workflow,
    run_workflow,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = RetryPolicy(max_retries=2, initial_delay_secs=0.001)


class Order(pydantic.BaseModel):
    """An input that is validated."""

    amount: int


class Counter:
    """Counts the attempts of one task."""

    def __init__(self) -> None:
        self.attempts = 0


def raising(error: BaseException, counter: Counter, **options: object) -> Any:
    def raises(_value: object) -> None:
        counter.attempts += 1
        raise error

    return task(retries=SOON, **options)(raises)  # type: ignore[call-overload]


def run_durable(flow: Flow) -> None:
    with InMemoryBackend() as backend:
        status = run_durable_workflow(flow.build(), "i", 1, backend)
    assert status.is_failed()


def run_simple(flow: Flow) -> None:
    with pytest.raises(TaskError):
        run_workflow(flow.build(), 1)


@pytest.mark.parametrize("run", [run_durable, run_simple])
@pytest.mark.parametrize(
    ("error", "options", "attempts"),
    [
        (ValueError(), {}, 3),
        (NonRetryableError("no such card"), {}, 1),
        (NonRetryableError("no such card"), {"retry_on": Exception}, 1),
        (TaskError("of a run inside"), {}, 1),
        (TaskError("of a run inside"), {"retry_on": TaskError}, 3),
        (ValueError(), {"retry_on": OSError}, 1),
        (ConnectionError(), {"retry_on": OSError}, 3),
        (KeyError(), {"no_retry_on": (KeyError, OSError)}, 1),
    ],
)
def test_an_error_is_tried_again_as_the_task_says(
    run: Callable[[Flow], None],
    error: BaseException,
    options: dict[str, object],
    attempts: int,
) -> None:
    counter = Counter()
    run(Flow("w").then(raising(error, counter, **options)))
    assert counter.attempts == attempts


@pytest.mark.parametrize("run", [run_durable, run_simple])
def test_an_input_that_does_not_fit_fails_at_once(
    run: Callable[[Flow], None],
) -> None:
    @task(retries=RetryPolicy(max_retries=1, initial_delay_secs=3600))
    def ship(order: Order) -> int:
        return order.amount

    run(Flow("w").then(ship))


@pytest.mark.parametrize("run", [run_durable, run_simple])
def test_no_attempt_follows_when_the_time_for_all_is_over(
    run: Callable[[Flow], None],
) -> None:
    counter = Counter()
    policy = RetryPolicy(max_retries=5, initial_delay_secs=60, max_elapsed="30s")

    @task(retries=policy)
    def fetch(_value: object) -> None:
        counter.attempts += 1
        raise OSError

    run(Flow("w").then(fetch))
    assert counter.attempts == 1

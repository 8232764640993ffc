"""Which errors another attempt may help after, and until when one may follow."""

from __future__ import annotations

from typing import Any

import pytest

from sayiir_es import NonRetryableError, RetryPolicy, TaskError, task
from sayiir_es.core.authoring.retries import is_retriable
from sayiir_es.core.authoring.tasks import may_try_again
from sayiir_es.core.graph.codec import chain_from_json, chain_to_json
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.json_fields import Fields


@pytest.mark.parametrize(
    ("error", "retry_on", "no_retry_on", "expected"),
    [
        (ValueError(), None, (), True),
        (ValueError(), None, (ValueError,), False),
        (ValueError(), None, (Exception,), False),
        (ValueError(), (OSError,), (), False),
        (ConnectionError(), (OSError,), (), True),
        (ConnectionError(), (OSError,), (ConnectionError,), False),
        (NonRetryableError(), None, (), False),
        (NonRetryableError(), (Exception,), (), False),
        (NonRetryableError(), (NonRetryableError,), (), False),
        (TaskError(), None, (), False),
        (TaskError(), (TaskError,), (), True),
        (KeyboardInterrupt(), None, (), True),
    ],
)
def test_an_error_is_tried_again_as_the_task_says(
    error: BaseException,
    retry_on: tuple[type[BaseException], ...] | None,
    no_retry_on: tuple[type[BaseException], ...],
    *,
    expected: bool,
) -> None:
    assert is_retriable(error, retry_on, no_retry_on) is expected


def test_an_input_that_does_not_fit_is_tried_again_only_if_asked() -> None:
    assert not is_retriable(ValueError(), None, (), is_of_input=True)
    assert is_retriable(ValueError(), (ValueError,), (), is_of_input=True)


def plain(_value: object) -> None: ...


def test_what_the_decorator_says_counts() -> None:
    @task(retries=2, retry_on=OSError, no_retry_on=(ConnectionError, TimeoutError))
    def fetch(_value: object) -> None: ...

    assert may_try_again(fetch, OSError(), is_of_input=False)
    assert not may_try_again(fetch, TimeoutError(), is_of_input=False)
    assert not may_try_again(fetch, ValueError(), is_of_input=False)
    assert may_try_again(plain, ValueError(), is_of_input=False)


@pytest.mark.parametrize("given", [3, "ValueError", (ValueError, 1), ValueError()])
def test_only_exception_classes_are_taken(given: Any) -> None:
    with pytest.raises(TypeError, match="expected exception classes for retry_on"):
        task(retry_on=given)
    with pytest.raises(TypeError, match="expected exception classes for no_retry_on"):
        task(no_retry_on=given)


def test_max_elapsed_stands_in_the_graph_and_comes_back() -> None:
    policy = RetryPolicy(max_elapsed="10m")
    node = TaskNode(id="a", retry=policy.to_retry())
    assert node.retry is not None
    assert node.retry.max_elapsed_ms == 600_000
    fields = Fields({"chain": chain_to_json((node,))}, "graph")
    assert chain_from_json(fields, "chain") == (node,)
    assert RetryPolicy.of(node.retry).max_elapsed == 600.0


def test_a_graph_without_it_is_written_as_before_there_was_one() -> None:
    node = TaskNode(id="a", retry=RetryPolicy().to_retry())
    assert "max_elapsed" not in str(chain_to_json((node,)))


@pytest.mark.parametrize("given", ["soon", -1, float("inf")])
def test_max_elapsed_is_a_duration(given: str | float) -> None:
    with pytest.raises(ValueError, match=r"duration|max_elapsed"):
        RetryPolicy(max_elapsed=given)

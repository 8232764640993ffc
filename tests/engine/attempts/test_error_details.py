"""What stands behind an error: its class, the user's line, causes, a traceback."""

from __future__ import annotations

import io
import json
import logging
import os
from typing import TYPE_CHECKING

import pytest
import structlog

from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.engine.attempts.error_details import details_of
from sayiir_es.telemetry import configure_logging
from tests.engine.attempts.executor_harness import ExecutorHarness

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.waits import ErrorDetails


class CardError(Exception):
    """A user's own error."""


def charge(_: object) -> None:
    try:
        json.loads("{nope")
    except ValueError as error:
        raise CardError("declined") from error


async def charge_later(value: object) -> None:
    charge(value)


def parse(_: object) -> object:
    return json.loads("{nope")


def opaque(_: object) -> object:
    return object()


def recurse(value: object) -> object:
    return recurse(value)


async def details_from(function: Callable[..., object]) -> ErrorDetails:
    harness = ExecutorHarness()
    outcome = await harness.run(function)
    await harness.executor.close()
    return outcome.details


@pytest.mark.parametrize("function", [charge, charge_later])
async def test_an_error_keeps_what_a_person_looks_for(
    function: Callable[..., object],
) -> None:
    details = await details_from(function)
    assert details.error_class == f"{__name__}.CardError"
    line = charge.__code__.co_firstlineno + 4
    assert details.source_line == f"{__file__}:{line} in charge"
    assert [cause.partition(":")[0] for cause in details.causes] == ["JSONDecodeError"]
    assert "The above exception was the direct cause" in details.traceback
    assert details.traceback.endswith("CardError: declined\n")


async def test_frames_of_the_engine_are_left_out() -> None:
    for function in (charge, charge_later):
        assert f"sayiir_es{os.sep}" not in (await details_from(function)).traceback


async def test_the_line_is_the_users_where_a_library_raised() -> None:
    details = await details_from(parse)
    assert details.source_line.startswith(f"{__file__}:")
    assert details.source_line.endswith(" in parse")
    assert "decoder.py" in details.traceback


async def test_details_are_bounded_and_keep_head_and_tail() -> None:
    def shout(_: object) -> None:
        error: Exception = ValueError("head" + "x" * 100_000 + "tail")
        for number in range(20):
            deeper = KeyError(str(number) * 2_000)
            deeper.__cause__ = error
            error = deeper
        raise error

    with pytest.raises(KeyError) as raised:
        shout(None)
    details = details_of(raised.value, DEFAULT_LIMITS)
    assert len(details.traceback.encode()) <= DEFAULT_LIMITS.traceback_bytes
    assert "bytes left out" in details.traceback
    assert len(details.causes) == DEFAULT_LIMITS.causes
    assert sum(map(len, details.causes)) <= DEFAULT_LIMITS.causes_bytes


async def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert details_of(one, DEFAULT_LIMITS).causes == ("ValueError: other",)


async def test_a_recursion_is_told_in_short() -> None:
    details = await details_from(recurse)
    assert details.error_class == "builtins.RecursionError"
    assert "Previous line repeated" in details.traceback


async def test_an_error_without_words_has_details_all_the_same() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise SystemExit("no words")

    def say(_: object) -> None:
        raise RuntimeError("said") from OddError()

    details = await details_from(say)
    assert details.error_class == "builtins.RuntimeError"
    assert details.causes == ("OddError: its message could not be made: SystemExit",)
    assert details.traceback


async def test_a_result_that_cannot_be_encoded_has_no_exception_of_the_user() -> None:
    details = await details_from(opaque)
    assert details.error_class.endswith("EncodeError")


@pytest.fixture
def log_stream() -> io.StringIO:
    return io.StringIO()


async def test_what_a_task_logs_says_which_attempt_it_is(
    log_stream: io.StringIO,
) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def sync(_: object) -> None:
        structlog.get_logger("shop").info("charge.began")
        logging.getLogger("shop").info("charging %s", "a card")

    async def coroutine(value: object) -> None:
        sync(value)

    try:
        configure_logging(format="json", stream=log_stream)
        harness = ExecutorHarness()
        await harness.run(sync)
        await harness.run(coroutine)
        await harness.executor.close()
        structlog.get_logger("shop").info("outside")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    *inside, outside = map(json.loads, log_stream.getvalue().splitlines())
    assert len(inside) == 4
    for line in inside:
        assert line["instance_id"]
        assert (line["workflow"], line["task_id"], line["attempt"]) == ("w", "a", 2)
    assert "instance_id" not in outside

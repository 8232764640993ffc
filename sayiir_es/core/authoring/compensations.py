"""Compensations as people write them: functions of a task's input and its result."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.tasks import metadata_of

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT, RESULT = "input", "result"
"""Under these names both are given to a function that takes one argument."""


def wrong_compensation(task_id: str, function: Callable[..., object]) -> list[str]:
    """What is wrong with the compensation of a task, if anything."""
    wrong: list[str] = []
    if metadata_of(function).compensate is not None:
        wrong.append(
            f"expected a compensation of {task_id!r} that has none itself, but it has "
            "one"
        )
    positional = _positional(function)
    if positional is not None:
        least, most = positional
        if most < 1 or least > 2:  # noqa: PLR2004 (the two that it is given)
            seen = "none" if most < 1 else f"{least}"
            wrong.append(
                f"expected the compensation of {task_id!r} to take the input and the "
                f"result of the task, or both as one argument, but it takes {seen}"
            )
    return wrong


def takes_both(function: Callable[..., object]) -> bool:
    """Whether it takes the input and the result as two arguments; else both as one."""
    positional = _positional(function)
    return positional is not None and positional[1] > 1


def name_of_second(function: Callable[..., object]) -> str:
    """The name of the parameter that takes the result; empty where it has none."""
    names = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return names[1] if len(names) > 1 else ""


def _positional(function: Callable[..., object]) -> tuple[int, int] | None:
    """How many positional arguments it needs, and takes at most; None: unknown."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None  # of a built-in: it has none that we could count
    least = most = 0
    for one in parameters:
        if one.kind is one.VAR_POSITIONAL:
            most += 2
        elif one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            most += 1
            least += one.default is one.empty
    return least, most

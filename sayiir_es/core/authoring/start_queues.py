"""What `Flow` is told of how many runs go on at a time, and what counts only there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from sayiir_es.core.graph.key_templates import LIMIT_MAX
from sayiir_es.core.graph.start_queue import (
    LENGTH_MAX,
    StartQueue,
    check_key,
    check_name,
)

if TYPE_CHECKING:
    from typing import Unpack

OnFull: TypeAlias = Literal["reject", "wait"]

DEFAULT_LENGTH = 1_000
"""So many runs may wait where `queue_length` says nothing else."""


class StartQueueOptions(TypedDict, total=False):
    """The options of `Flow` by which its runs wait for each other.

    Attributes:
        max_running: So many runs go on at a time, of each `queue_key`; 1 to 100,000.
        queue_length: So many others wait; 1,000 when left out.
        on_full: A further run is failed by `reject`; `wait` lets any number wait.
        queue_key: A text with `{workflow_input.FIELD}`; all runs are of one without it.
    """

    max_running: int | None
    queue_length: int | None
    on_full: OnFull
    queue_key: str | None


def start_queue_of(
    workflow: str, **options: Unpack[StartQueueOptions]
) -> StartQueue | None:
    """The start queue of a workflow; None if any number of its runs go on.

    Raises:
        ValueError: if an option is out of its range, or of no use without another.
        TypeError: if there is no such option.
    """
    unknown = sorted(options.keys() - StartQueueOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"Flow() got an unexpected keyword argument {unknown[0]!r}")
    max_running, length = options.get("max_running"), options.get("queue_length")
    on_full, key = options.get("on_full", "reject"), options.get("queue_key")
    if max_running is None:
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise ValueError(f"expected max_running with {given[0]}, but none")
        return None
    _check_number("max_running", max_running, 1, LIMIT_MAX)
    if on_full not in ("reject", "wait"):
        raise ValueError(f"expected on_full 'reject' or 'wait', but {on_full!r}")
    if on_full == "wait":
        if length is not None:
            raise ValueError(
                "expected no queue_length with on_full='wait', where any number waits, "
                f"but {length}"
            )
    else:
        length = DEFAULT_LENGTH if length is None else length
        _check_number("queue_length", length, 0, LENGTH_MAX)
    if key is not None:
        check_key(key)
    check_name(workflow)
    return StartQueue(max_running=max_running, length=length, key=key)


def wrong_in(
    name: str, timeout_ms: int | None, start_queue: StartQueue | None
) -> list[str]:
    """What a flow inside another may not have, as it is of whole runs."""
    wrong: list[str] = []
    if timeout_ms is not None:
        wrong.append(
            "expected no timeout of a flow inside another, where it would not "
            f"count, but {name!r} has one of {timeout_ms} ms: give one to the "
            "outermost flow or to a task"
        )
    if start_queue is not None:
        wrong.append(
            "expected no max_running of a flow inside another, where it would not "
            f"count, but {name!r} has one of {start_queue.max_running}: give one to "
            "the outermost flow, or start it as an instance of its own"
        )
    return wrong


def _check_number(what: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise ValueError(f"expected {what} between {least} and {most}, but {number}")

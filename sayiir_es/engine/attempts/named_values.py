"""What a task is given: its input, values of nodes before it by name, its context."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, cast

from sayiir_es.core.authoring.hints import PLAIN
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.graph.references import needed
from sayiir_es.engine.attempts.task_context import TaskExecutionContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.wire.payload_codec import Payloads


_new_context = maker(TaskExecutionContext)

_HEAD, _MIDDLE = '{"input":', ',"result":'
_BLANKS, _DECODER = re.compile(r"[ \t\n\r]*"), json.JSONDecoder()


def context_of(attempt: Attempt) -> TaskExecutionContext:
    """What an attempt may know about itself."""
    runnable = attempt.runnable
    assert runnable is not None
    graph = runnable.graph
    return _new_context(
        workflow_id=graph.name,
        instance_id=attempt.instance_id,
        task_id=runnable.node.id,
        node=runnable.node,
        workflow_metadata=(
            None if graph.metadata is None else json.loads(graph.metadata)
        ),
        attempt=attempt.number,
        deadline_at=attempt.deadline_at_ms,
        run=attempt.run,
        idempotency_key=f"{attempt.instance_id}/{attempt.lineage}/{attempt.path}",
        on_heartbeat=attempt.take_beat,
    )


def named_values(rows: Rows, attempt: Attempt) -> Mapping[str, bytes] | None:
    """What the function of an attempt needs by name, as bytes; None: nothing.

    Raises:
        HistoryError: if no event recorded it.
    """
    work = attempt.runnable or attempt.job
    if attempt.lease is not None and attempt.job is not None:
        work = attempt.job  # by the graph of the run alone
    if work is None or not work.node.needs:
        return None
    return {
        need.name: needed(rows, work.graph, attempt.path, need)
        for need in work.node.needs
    }


def given_value(attempt: Attempt, payloads: Payloads) -> object:
    """The input of an attempt as its function takes it.

    Of a compensation that takes two arguments it is a tuple of both.

    Raises:
        DecodeError: if it is no JSON.
        pydantic.ValidationError: if it does not fit its annotation.
    """
    runnable = attempt.runnable
    assert runnable is not None
    hints = runnable.hints
    if not runnable.takes_both:
        return payloads.decode(attempt.input, hints.first)
    parts = split_both(attempt.input)
    hinted = (*hints.positional, PLAIN, PLAIN)
    return tuple(payloads.decode(*one) for one in zip(parts, hinted, strict=False))


def split_both(data: bytes) -> tuple[bytes, bytes]:
    """The bytes of the input and of the result that a reference put together."""
    text = data.decode()
    begin = _BLANKS.match(text, len(_HEAD))
    at = begin.end() if begin is not None else len(_HEAD)
    _, end = _DECODER.raw_decode(text, at)
    result = text.index(_MIDDLE, end) + len(_MIDDLE)
    return text[at:end].encode(), text[result:-1].encode()


def with_named(
    attempt: Attempt, context: TaskExecutionContext, payloads: Payloads
) -> Callable[[object], object]:
    """The function of an attempt, with all that it needs by name; it takes the input.

    Raises:
        DecodeError: if a value is no JSON.
        pydantic.ValidationError: if one does not fit its annotation.
    """
    runnable = attempt.runnable
    assert runnable is not None
    function, named = runnable.function, attempt.named or {}
    if not (named or runnable.takes_context or runnable.takes_both):
        return function
    values: dict[str, object] = {
        name: payloads.decode(data, runnable.hints.named.get(name, PLAIN))
        for name, data in named.items()
    }
    if runnable.takes_context:
        values["context"] = context
    if values:
        function = partial(function, **values)
    return with_both(function) if runnable.takes_both else function


def with_both(function: Callable[..., object]) -> Callable[[object], object]:
    """A function of two arguments as one of a tuple of both."""

    def call(both: object) -> object:
        first, second = cast("tuple[object, object]", both)
        return function(first, second)

    return call

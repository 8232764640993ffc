"""One node of the graph: its options, its attempts, what went in and came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import template
from sayiir_es.core.model import events as e
from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.core.model.rows import get_value
from sayiir_es.core.model.waits import ErrorDetails
from sayiir_es.operations.drawing.node_text import text_by_path
from sayiir_es.operations.history_groups import grouped
from sayiir_es.operations.timeline.axis import span_text
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import DictRows
    from sayiir_es.operations.drawing.node_text import NodeText
    from sayiir_es.operations.history_groups import EventGroup
    from sayiir_es.web.pages.instance.shown import ShownInstance, Text

TRIED = ("Attempt", "Delay", "Signal", "Route")
"""Titles of groups that are more than one event that names the node."""

ATTEMPTS_MAX = 20
"""Of one node; of a loop's body the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAttempt:
    """One attempt, delay or wait of a node, with what went in and came out."""

    title: str
    number: str
    state: str
    at: int
    took: str
    worker: str
    history_link: str
    input: Text | None
    output: Text | None
    error: str
    details: ErrorDetails | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePanel:
    """What is known of a node in this instance."""

    path: str
    text: NodeText | None
    attempts: tuple[ShownAttempt, ...]
    left_out: int


def node_panel(shown: ShownInstance, path: str) -> NodePanel:
    """What happened at a node.

    Raises:
        NotFoundError: if there is no such node.
    """
    graph = shown.history.graph
    text = text_by_path(graph).get(path) if graph is not None else None
    groups = [
        group
        for group in grouped(shown.history.events)
        if group.path and template(group.path) == path
    ]
    if text is None and not groups:
        raise NotFoundError(f"expected a node at {path!r:.200}, but there is none")
    rows = shown.history.rows()
    # Of a node that has attempts what only tells of it is left to the history.
    groups = [group for group in groups if group.title in TRIED] or groups
    chosen = groups[-ATTEMPTS_MAX:]
    return NodePanel(
        path=path,
        text=text,
        attempts=tuple(_attempt(shown, rows, group) for group in chosen),
        left_out=len(groups) - len(chosen),
    )


def _attempt(shown: ShownInstance, rows: DictRows, group: EventGroup) -> ShownAttempt:
    bodies = [entry.event.body for entry in group.events]
    first, last = group.first.event, group.last.event
    worker = next((b.worker for b in bodies if isinstance(b, _OUTCOMES)), "")
    error, details = _error_of(shown, last.body)
    place = f"{group.last.partition}@{group.last.offset}"
    return ShownAttempt(
        title=group.title,
        number=f"{group.path}#{group.attempt}" if group.attempt else group.path,
        state=group.state,
        at=first.at,
        took=span_text(last.at - first.at) if len(group.events) > 1 else "",
        worker=worker,
        history_link=shown.link(tab="history", at=last.sequence),
        input=_input_of(shown, rows, first.body),
        output=_output_of(shown, rows, last.body, place),
        error=error,
        details=details,
    )


_OUTCOMES = (e.TaskCompleted, e.RetryRecorded, e.TaskFailed)


def _error_of(shown: ShownInstance, body: object) -> tuple[str, ErrorDetails | None]:
    if not isinstance(body, e.RetryRecorded | e.TaskFailed):
        return "", None
    details = ErrorDetails(
        error_class=body.error_class,
        source_line=body.source_line,
        causes=body.causes,
        traceback=body.traceback,
    )
    has_type = body.error.startswith(f"{body.error_type}:")
    text = body.error if has_type else f"{body.error_type}: {body.error}"
    return shown.masking.text(text), shown.masked_details(details)


def _input_of(shown: ShownInstance, rows: DictRows, body: object) -> Text | None:
    reference = getattr(body, "input", None)
    if not isinstance(reference, str) or not reference:
        return None
    return _value(shown, rows, reference)


def _output_of(
    shown: ShownInstance, rows: DictRows, body: object, place: str
) -> Text | None:
    match body:
        case e.TaskCompleted(output=output):
            return shown.payload(output, part="event", name=place)
        case e.SignalConsumed(signal_sequence=sequence):
            return _value(shown, rows, f"signal:{sequence}")
        case e.RouteChosen(key=key):
            return shown.payload(encode_payload(key), part="event", name=place)
        case _:
            return None


def _value(shown: ShownInstance, rows: DictRows, reference: str) -> Text | None:
    data = get_value(rows, reference)
    if data is None:
        return None
    return shown.payload(data, part="value", name=reference)

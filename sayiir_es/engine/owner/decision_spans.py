"""Spans of what an owner decides on commands, and of the batches that record it.

Theory of operation. Each decision on a command has a span, a child of the context that
the command came in, from when it is made until the log has acknowledged it. Where the
command is about an instance that was started in another trace, the span is linked to
that one. A batch holds decisions of many traces: the span of its append has links to
them and no parent.

A decision that its batch has no room for is made again in the next one: the first span
is never ended, so it is never exported.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.model.events import CommandRejected
from sayiir_es.core.model.rows import get_run
from sayiir_es.engine.tracer import (
    bounded,
    get_tracer,
    links_to,
    parent_context,
    record_error,
    set_error,
    traceparent_of_span,
)
from sayiir_es.log.port import Topic, destination_of
from sayiir_es.telemetry import (
    MESSAGING_BATCH_COUNT,
    MESSAGING_CONSUMER_GROUP,
    MESSAGING_DESTINATION,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OFFSET,
    MESSAGING_OPERATION,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_PARTITION,
    MESSAGING_SYSTEM,
    SPAN_COMMAND,
    SPAN_DECISION,
    SPAN_INSTANCE_ID,
    SPAN_WORKFLOW,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from opentelemetry.trace import Span, Tracer

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Commanded
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.log.port import Log


class DecisionSpans:
    """The spans of one batch."""

    def __init__(self, tracer: Tracer, log: Log, partition: int) -> None:
        self._tracer = tracer
        self._log = log
        self._partition = partition
        self._begun: Span | None = None
        self._decided: list[Span] = []

    def begin(self, commanded: Commanded, rows: Rows) -> Commanded:
        """Begin the span of a decision; the command is in its context from here on."""
        command, run = commanded.command, get_run(rows)
        topic = destination_of(self._log, Topic.COMMANDS)
        workflow = run.workflow if run is not None else ""
        if isinstance(command, StartWorkflow):
            workflow = command.workflow
        attributes: dict[str, str | int] = {
            MESSAGING_SYSTEM: topic.system,
            MESSAGING_DESTINATION: topic.name,
            MESSAGING_PARTITION: str(commanded.position.partition),
            MESSAGING_OFFSET: commanded.position.offset,
            MESSAGING_OPERATION: "decide",
            MESSAGING_OPERATION_TYPE: "process",
            MESSAGING_MESSAGE_ID: bounded(command.command_id),
            SPAN_INSTANCE_ID: bounded(command.instance_id),
            SPAN_COMMAND: type(command).__name__,
        }
        if topic.group:
            attributes[MESSAGING_CONSUMER_GROUP] = topic.group
        if workflow:
            attributes[SPAN_WORKFLOW] = bounded(workflow)
        self._begun = _start(
            self._tracer,
            f"decide {topic.name}",
            parent=commanded.traceparent,
            links=(None if run is None else run.traceparent,),
            attributes=attributes,
            is_consumer=True,
        )
        own = traceparent_of_span(self._begun)
        return replace(commanded, traceparent=own or commanded.traceparent)

    def drop(self) -> None:
        """The batch has no room for the decision that was begun last."""
        self._begun = None

    def decided(self, events: Sequence[Event]) -> None:
        """The decision that was begun last is in the batch."""
        span, self._begun = self._begun, None
        if span is None:
            return
        self._decided.append(span)
        body = events[0].body
        span.set_attribute(SPAN_DECISION, type(body).__name__)
        if isinstance(body, CommandRejected):
            set_error(span, body.code, body.message)

    @contextmanager
    def around_append(self, records: int) -> Generator[None]:
        """Spans of an append and of what it decides; they end with it."""
        if not self._decided:
            yield
            return
        topic = destination_of(self._log, Topic.EVENTS)
        append = _start(
            self._tracer,
            f"append {topic.name}",
            parent=None,
            links=[traceparent_of_span(span) for span in self._decided],
            attributes={
                MESSAGING_SYSTEM: topic.system,
                MESSAGING_DESTINATION: topic.name,
                MESSAGING_PARTITION: str(self._partition),
                MESSAGING_OPERATION: "append",
                MESSAGING_OPERATION_TYPE: "send",
                MESSAGING_BATCH_COUNT: records,
            },
        )
        spans, self._decided = (*self._decided, append), []
        try:
            yield
        except BaseException as error:
            for span in spans:
                record_error(span, error)
            raise
        finally:
            for span in spans:
                span.end()


def new_decision_spans(log: Log, partition: int) -> DecisionSpans | None:
    """The spans of a batch; None where this process does not trace."""
    tracer = get_tracer()
    return None if tracer is None else DecisionSpans(tracer, log, partition)


def _start(
    tracer: Tracer,
    name: str,
    *,
    parent: str | None,
    links: Sequence[str | None],
    attributes: dict[str, str | int],
    is_consumer: bool = False,
) -> Span:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 (optional)

    return tracer.start_span(
        name,
        context=parent_context(parent),
        kind=SpanKind.CONSUMER if is_consumer else SpanKind.PRODUCER,
        links=links_to(link for link in links if link != parent),
        attributes=attributes,
    )

"""How a command goes to its topic: in the trace of whoever sends it.

Where the program traces, sending is a span of its own, and the record's `traceparent`
names it. Where it only has a current span, the record carries that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.commands import command_record
from sayiir_es.engine.tracer import (
    bounded,
    current_traceparent,
    get_tracer,
    record_error,
    traceparent_of_span,
)
from sayiir_es.log.port import Topic, destination_of
from sayiir_es.telemetry import (
    MESSAGING_DESTINATION,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OFFSET,
    MESSAGING_OPERATION,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_PARTITION,
    MESSAGING_SYSTEM,
    SPAN_COMMAND,
    SPAN_INSTANCE_ID,
)
from sayiir_es.wire.trace_context import trace_headers

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from sayiir_es.core.model.commands import Command
    from sayiir_es.log.port import Log

Headers = tuple[tuple[str, bytes], ...]


async def send_command(
    log: Log, partition: int, command: Command, headers: Headers = ()
) -> int:
    """Produce a command and return its offset.

    Raises:
        LogUnavailableError, BatchTooLargeError, ClockRefusedError: as `Log.produce`.
    """
    tracer = get_tracer()
    if tracer is not None:
        return await _send_in_span(tracer, log, partition, command, headers)
    return await _produce(log, partition, command, headers, current_traceparent())


async def _send_in_span(
    tracer: Tracer, log: Log, partition: int, command: Command, headers: Headers
) -> int:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 (optional)

    topic = destination_of(log, Topic.COMMANDS)
    with tracer.start_as_current_span(
        f"send {topic.name}",
        kind=SpanKind.PRODUCER,
        attributes={
            MESSAGING_SYSTEM: topic.system,
            MESSAGING_DESTINATION: topic.name,
            MESSAGING_PARTITION: str(partition),
            MESSAGING_OPERATION: "send",
            MESSAGING_OPERATION_TYPE: "send",
            MESSAGING_MESSAGE_ID: bounded(command.command_id),
            SPAN_INSTANCE_ID: bounded(command.instance_id),
            SPAN_COMMAND: type(command).__name__,
        },
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        traceparent = traceparent_of_span(span)
        try:
            offset = await _produce(log, partition, command, headers, traceparent)
        except BaseException as error:
            record_error(span, error)
            raise
        span.set_attribute(MESSAGING_OFFSET, offset)
        return offset


async def _produce(
    log: Log,
    partition: int,
    command: Command,
    headers: Headers,
    traceparent: str | None,
) -> int:
    record = command_record(command, (*headers, *trace_headers(traceparent)))
    return await log.produce(Topic.COMMANDS, partition, record)

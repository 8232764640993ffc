"""Sends what attempts ended with to the commands topic, until the log has it.

Many outcomes that come together leave in one request: the log's producer sees to that.
An outcome that is sent twice changes nothing: its command has an id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    EncodeError,
    LogError,
)
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.engine.backoff import Backoff
from sayiir_es.executor.held_attempt import outcome_command
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.commands import encode_command_avro

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.commands import RecordOutcome
    from sayiir_es.log.port import Log
    from sayiir_es.wire.attempts import PublishedAttempt

logger = get_logger(__name__)


class OutcomeSender:
    """Sends outcomes; `sent` is told of each that the log has, or will never take."""

    def __init__(self, log: Log, sent: Callable[[PublishedAttempt], None]) -> None:
        self._log = log
        self._sent = sent
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By the identity of the attempt's record, which the task keeps."""

    def send(self, record: PublishedAttempt, outcome: Outcome) -> None:
        """Send what an attempt ended with; returns at once."""
        self._tasks[id(record)] = asyncio.create_task(self._send(record, outcome))

    async def drain(self, limit_s: float) -> None:
        """Wait until all is sent, for so long at most; then what is left is dropped."""
        if self._tasks:
            await asyncio.wait([*self._tasks.values()], timeout=limit_s)
        left = [*self._tasks.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _send(self, record: PublishedAttempt, outcome: Outcome) -> None:
        backoff = Backoff(record.instance_id)
        try:
            while True:
                command = outcome_command(record, outcome)
                try:
                    await self._log.produce(
                        Topic.COMMANDS, record.partition, _record_of(command)
                    )
                except BatchTooLargeError as error:
                    if outcome.error_type == "too_large":
                        _tell_unsent(record, error)
                        return
                    outcome = _failure(outcome, "too_large", error)
                except EncodeError as error:
                    _tell_unsent(record, error)
                    if outcome.error_type == "encode":
                        return
                    outcome = _failure(outcome, "encode", error)
                except LogError as error:
                    _tell_unsent(record, error)
                    await backoff.pause()
                else:
                    return
        except Exception as error:  # its owner hears nothing, and begins it again
            logger.exception(
                "executor.outcome_dropped",
                instance_id=record.instance_id,
                path=record.path,
                attempt=record.attempt,
                exc_info=error,
            )
        finally:
            self._tasks.pop(id(record), None)
            self._sent(record)


def _tell_unsent(record: PublishedAttempt, error: LogError | EncodeError) -> None:
    logger.warning(
        "executor.outcome_not_sent",
        instance_id=record.instance_id,
        path=record.path,
        attempt=record.attempt,
        error_code=error.code,
        reason=str(error),
    )


def _failure(outcome: Outcome, error_type: str, error: Exception) -> Outcome:
    """The failure of an attempt whose outcome cannot be told."""
    return Outcome(
        instance_id=outcome.instance_id,
        run=outcome.run,
        path=outcome.path,
        attempt=outcome.attempt,
        result="failed",
        error_type=error_type,
        error=str(error),
        retriable=False,
        worker=outcome.worker,
    )


def _record_of(command: RecordOutcome) -> NewRecord:
    key = command.instance_id.encode("utf-8", "surrogatepass")
    return NewRecord(key=key, value=encode_command_avro(command))

"""An attempt that an owner elsewhere has handed to this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.engine.attempts.attempt import Attempt, State
from sayiir_es.wire.executor_requests import DETAILS_BYTES_MAX, HeldAttempt

if TYPE_CHECKING:
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.wire.attempts import PublishedAttempt
    from sayiir_es.wire.payload_codec import Payloads

NO_DETAILS = b"null"
"""Of a heartbeat that says no more, or what cannot be told."""


@dataclass(slots=True, kw_only=True, eq=False)
class HandedAttempt(Attempt):
    """One attempt of another process's owner.

    Attributes:
        record: As it was handed out.
        heartbeat: What its function told last, with the number of that heartbeat.
        told: The number of the heartbeat that its owner was told of last.
    """

    record: PublishedAttempt
    heartbeat: tuple[int, object] = (0, None)
    told: int = 0

    def take_beat(self, details: object) -> None:
        """Its function has told a heartbeat; called on any thread."""
        self.beats += 1
        self.heartbeat = (self.beats, details)

    def progress(self, payloads: Payloads) -> HeldAttempt:
        """That it is still here, and what its function has told since the last time.

        As long as it waits for a slot here, its function cannot tell anything: it is
        told for it that it goes on.
        """
        number, details = self.heartbeat
        record = self.record
        told = None if number == self.told else _encoded(details, payloads)
        if self.state is State.QUEUED:
            told = NO_DETAILS
        self.told = number
        return HeldAttempt(
            instance_id=record.instance_id,
            run=record.run,
            path=record.path,
            attempt=record.attempt,
            secret=record.secret.hex(),
            details=told,
        )


def _encoded(details: object, payloads: Payloads) -> bytes:
    """Details as bytes; that there was a heartbeat counts, whatever it says."""
    try:
        encoded = payloads.encode(details)
    except Exception:  # noqa: BLE001 (it runs the code of users)
        return NO_DETAILS
    return encoded if len(encoded) <= DETAILS_BYTES_MAX else NO_DETAILS


def outcome_command(record: PublishedAttempt, outcome: Outcome) -> RecordOutcome:
    """The command that tells the owner what an attempt ended with."""
    details = outcome.details
    result, output = outcome.result, outcome.output
    error_type, error, retriable = outcome.error_type, outcome.error, outcome.retriable
    if output is not None and len(output) > record.payload_limit:
        result, error_type, retriable = "failed", "too_large", False
        error = (
            f"expected an output of at most {record.payload_limit} bytes, but "
            f"{len(output)} bytes"
        )
        output = None
    is_failed = result == "failed"
    return RecordOutcome(
        instance_id=record.instance_id,
        command_id=f"{record.secret.hex()[:16]}:{result}",
        run=record.run,
        path=record.path,
        attempt=record.attempt,
        result=result,
        output=output,
        loop="none" if is_failed else outcome.loop,
        error_type=error_type if is_failed else None,
        error=error if is_failed else None,
        retriable=retriable,
        worker=record.executor,
        secret=record.secret,
        error_class=details.error_class,
        source_line=details.source_line,
        causes=details.causes,
        traceback=details.traceback,
        error_bases=outcome.error_bases,
    )

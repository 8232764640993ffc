"""What an attempt ended with, as an outcome: results encoded, errors told in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.authoring.caught_errors import class_names
from sayiir_es.core.authoring.loop_result import loop_result_of
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.graph.paths import decode_segment
from sayiir_es.core.model.errors import EncodeError
from sayiir_es.core.model.inputs import DecisionFailed, Outcome
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.waits import NO_DETAILS
from sayiir_es.engine.attempts.error_details import details_of, error_text
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from sayiir_es.wire.taking import check_taken

if TYPE_CHECKING:
    from sayiir_es.core.model.errors import HistoryError
    from sayiir_es.core.model.events import LoopMark
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.wire.payload_codec import Payloads


_new_outcome = maker(Outcome)


class OutcomeMaker:
    """Makes outcomes for one worker, within its limits."""

    def __init__(
        self, worker_id: str, limits: Limits, payloads: Payloads = JSON_PAYLOADS
    ) -> None:
        self._worker_id = worker_id
        self._limits = limits
        self._payloads = payloads

    def completed(self, attempt: Attempt, result: object) -> Outcome:
        """A result, encoded; a failure for good, if it cannot be, or not be taken."""
        loop: LoopMark = "none"
        runnable = attempt.runnable
        if runnable is not None and runnable.ends_loop:
            loop_result = loop_result_of(result)
            if loop_result is None:
                text = (
                    f"Failed to decode input for task {loop_at(attempt.path)!r} "
                    f"(expected LoopEnvelope): {type(result).__name__}"
                )
                return self.failed(attempt, "bad_loop_result", text, retriable=False)
            loop, result = loop_result.tag, loop_result.value
        try:
            if runnable is not None and runnable.is_key:
                output = self._payloads.encode_readable(result)
            else:
                output = self._payloads.encode(result)
            if runnable is not None and runnable.takers:
                check_taken(output, runnable.takers, self._payloads)
        except EncodeError as error:
            text = encode_error_text(error)
            return self.failed(attempt, "encode", text, error, retriable=False)
        if len(output) > self._limits.payload_bytes:
            text = (
                f"expected an output of at most {self._limits.payload_bytes} bytes, "
                f"but {len(output)} bytes"
            )
            return self.failed(attempt, "too_large", text, retriable=False)
        return _new_outcome(
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            result="completed",
            output=output,
            loop=loop,
            worker=self._worker_id,
        )

    def withdrawn(self, attempt: Attempt) -> Outcome:
        """No outcome: the attempt may be handed out again."""
        return Outcome(
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            result="withdrawn",
            worker=self._worker_id,
        )

    def stalled(self, attempt: Attempt, silent_ms: int) -> Outcome:
        """Its function told no heartbeat for so long."""
        work = attempt.runnable or attempt.job
        name = attempt.path if work is None else work.node.id
        text = f"Task {name!r} told no heartbeat for {silent_ms / 1000:g}s"
        return self.failed(attempt, "heartbeat_timeout", text)

    def input_too_large(self, attempt: Attempt, size: int, most: int) -> Outcome:
        """No attempt can begin: its input joins more bytes than may be."""
        text = f"expected an input of at most {most} bytes, but {size} bytes"
        return self.failed(attempt, "too_large", text, retriable=False)

    def failed(
        self,
        attempt: Attempt,
        error_type: str,
        text: str,
        error: BaseException | None = None,
        *,
        retriable: bool = True,
    ) -> Outcome:
        """A failure; its type and text keep head and tail, its details their bounds."""
        return Outcome(
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            result="failed",
            error_type=clip(error_type, self._limits.id_bytes),
            error=clip(text, self._limits.error_bytes),
            retriable=retriable,
            worker=self._worker_id,
            details=NO_DETAILS if error is None else details_of(error, self._limits),
            error_bases=() if error is None else class_names(type(error)),
        )


def no_input(attempt: Attempt, error: HistoryError) -> DecisionFailed:
    """The instance owes an attempt that it has no input for: its rows are wrong."""
    return DecisionFailed(
        instance_id=attempt.instance_id,
        decided_on=f"the input of {attempt.path!r}, attempt {attempt.number}",
        error_type=type(error).__name__,
        error=str(error),
    )


def loop_at(path: str) -> str:
    """The id of the loop whose body holds a path."""
    return decode_segment(path.rpartition("@")[0].rpartition("/")[2])


def encode_error_text(error: BaseException) -> str:
    """The text of an error of encoding, by the name that users of `sayiir` look for."""
    # It is what `json.dumps` raises.
    return error_text(error, name="TypeError" if isinstance(error, EncodeError) else "")

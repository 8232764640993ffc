"""What an attempt ended with, as an outcome: results encoded, errors told in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.authoring.loop_result import loop_result_of
from sayiir_es.core.graph.paths import decode_segment
from sayiir_es.core.model.errors import EncodeError
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.limits import clip
from sayiir_es.wire.payload import encode_payload
from sayiir_es.wire.pydantic_models import dump_models

if TYPE_CHECKING:
    from sayiir_es.core.model.events import LoopMark
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.engine.attempts.attempt import Attempt


class OutcomeMaker:
    """Makes outcomes for one worker, within its limits."""

    def __init__(self, worker_id: str, limits: Limits) -> None:
        self._worker_id = worker_id
        self._limits = limits

    def completed(self, attempt: Attempt, result: object) -> Outcome:
        """A result, encoded; what cannot be encoded is a failure for good."""
        loop: LoopMark = "none"
        if attempt.runnable is not None and attempt.runnable.ends_loop:
            loop_result = loop_result_of(result)
            if loop_result is None:
                text = (
                    f"Failed to decode input for task {loop_at(attempt.path)!r} "
                    f"(expected LoopEnvelope): {type(result).__name__}"
                )
                return self.failed(attempt, "bad_loop_result", text, retriable=False)
            loop, result = loop_result.tag, loop_result.value
        try:
            output = encode_payload(dump_models(result))
        except EncodeError as error:
            return self.failed(attempt, "encode", error_text(error), retriable=False)
        if len(output) > self._limits.payload_bytes:
            text = (
                f"expected an output of at most {self._limits.payload_bytes} bytes, "
                f"but {len(output)} bytes"
            )
            return self.failed(attempt, "too_large", text, retriable=False)
        return Outcome(
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

    def failed(
        self, attempt: Attempt, error_type: str, error: str, *, retriable: bool = True
    ) -> Outcome:
        """A failure; its type and text keep head and tail."""
        return Outcome(
            instance_id=attempt.instance_id,
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.number,
            result="failed",
            error_type=clip(error_type, self._limits.id_bytes),
            error=clip(error, self._limits.error_bytes),
            retriable=retriable,
            worker=self._worker_id,
        )


def loop_at(path: str) -> str:
    """The id of the loop whose body holds a path."""
    return decode_segment(path.rpartition("@")[0].rpartition("/")[2])


def error_text(error: BaseException) -> str:
    """`ExcType: message`, also where the message cannot be made."""
    # What `json.dumps` raises, and what users of `sayiir` look for.
    name = "TypeError" if isinstance(error, EncodeError) else type(error).__name__
    try:
        text = f"{name}: {error!s}"
    except BaseException as broken:  # noqa: BLE001 (a user's __str__ may even exit)
        return f"{name}: its message could not be made: {type(broken).__name__}"
    return name if len(text) == len(name) + 2 else text

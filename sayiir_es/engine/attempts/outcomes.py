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
    from sayiir_es.engine.attempts.executor_port import Job


class OutcomeMaker:
    """Makes outcomes for one worker, within its limits."""

    def __init__(self, worker_id: str, limits: Limits) -> None:
        self._worker_id = worker_id
        self._limits = limits

    def completed(self, job: Job, result: object) -> Outcome:
        """A result, encoded; what cannot be encoded is a failure for good."""
        loop: LoopMark = "none"
        if job.ends_loop:
            said_loop = loop_result_of(result)
            if said_loop is None:
                text = (
                    f"Failed to decode input for task {loop_at(job.path)!r} (expected "
                    f"LoopEnvelope): {type(result).__name__}"
                )
                return self.failed(job, "bad_loop_result", text, retriable=False)
            loop, result = said_loop.tag, said_loop.value
        try:
            output = encode_payload(dump_models(result))
        except EncodeError as error:
            return self.failed(job, "encode", said(error), retriable=False)
        if len(output) > self._limits.payload_bytes:
            text = (
                f"expected an output of at most {self._limits.payload_bytes} bytes, "
                f"but {len(output)} bytes"
            )
            return self.failed(job, "too_large", text, retriable=False)
        return Outcome(
            instance_id=job.instance_id,
            run=job.run,
            path=job.path,
            attempt=job.attempt,
            result="completed",
            output=output,
            loop=loop,
            worker=self._worker_id,
        )

    def withdrawn(self, job: Job) -> Outcome:
        """No outcome: the attempt may be handed out again."""
        return Outcome(
            instance_id=job.instance_id,
            run=job.run,
            path=job.path,
            attempt=job.attempt,
            result="withdrawn",
            worker=self._worker_id,
        )

    def failed(
        self, job: Job, error_type: str, error: str, *, retriable: bool = True
    ) -> Outcome:
        """A failure; its type and text keep head and tail."""
        return Outcome(
            instance_id=job.instance_id,
            run=job.run,
            path=job.path,
            attempt=job.attempt,
            result="failed",
            error_type=clip(error_type, self._limits.id_bytes),
            error=clip(error, self._limits.error_bytes),
            retriable=retriable,
            worker=self._worker_id,
        )


def loop_at(path: str) -> str:
    """The id of the loop whose body holds a path."""
    return decode_segment(path.rpartition("@")[0].rpartition("/")[2])


def said(error: BaseException) -> str:
    """`ExcType: message`, also where the message cannot be made."""
    # What `json.dumps` raises, and what users of `sayiir` look for.
    name = "TypeError" if isinstance(error, EncodeError) else type(error).__name__
    try:
        text = f"{name}: {error!s}"
    except BaseException as broken:  # noqa: BLE001 (a user's __str__ may even exit)
        return f"{name}: its message could not be made: {type(broken).__name__}"
    return name if len(text) == len(name) + 2 else text

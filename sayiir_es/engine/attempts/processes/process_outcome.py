"""The outcome that a process tells, held to what the log can take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sayiir_es.core.model.limits import Limits, clip
from sayiir_es.core.model.waits import ErrorDetails

if TYPE_CHECKING:
    from sayiir_es.core.model.events import LoopMark
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.outcomes import OutcomeMaker
    from sayiir_es.engine.attempts.processes.messages import Ended

_LOOP_MARKS: Final[dict[str, LoopMark]] = {
    "none": "none",
    "again": "again",
    "done": "done",
}

BASES_MAX: Final = 32


def outcome_of(
    outcomes: OutcomeMaker, attempt: Attempt, ended: Ended, limits: Limits
) -> Outcome:
    """What an attempt ended with, as its process says."""
    if ended.result == "withdrawn":
        return outcomes.withdrawn(attempt)
    output = ended.output
    if ended.result == "completed" and output is not None:
        if len(output) <= limits.payload_bytes:
            mark = _LOOP_MARKS.get(ended.loop, "none")
            return outcomes.of_output(attempt, output, mark)
        return outcomes.failed(
            attempt,
            "too_large",
            f"expected an output of at most {limits.payload_bytes} bytes, but "
            f"{len(output)} bytes",
            retriable=False,
        )
    share = limits.causes_bytes // limits.causes
    failed = outcomes.failed(
        attempt, ended.error_type, ended.error, retriable=ended.retriable
    )
    return replace(
        failed,
        details=ErrorDetails(
            error_class=clip(ended.error_class, limits.id_bytes),
            source_line=clip(ended.source_line, limits.id_bytes),
            causes=tuple(clip(one, share) for one in ended.causes[: limits.causes]),
            traceback=clip(ended.traceback, limits.traceback_bytes),
        ),
        error_bases=tuple(
            clip(one, limits.id_bytes) for one in ended.error_bases[:BASES_MAX]
        ),
    )

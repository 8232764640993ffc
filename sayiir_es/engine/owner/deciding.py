"""A decision, whatever goes wrong with it: that becomes its instance's trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.quarantine import on_error
from sayiir_es.core.draft import EventTooLargeError
from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    LogError,
    StoreError,
    UnknownDefinitionError,
)
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.core.draft import Decision, DecisionContext
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Rows

logger = get_logger(__name__)

PARTITION_ERRORS = (LogError, MemoryError, StoreError, UnknownDefinitionError)
"""No instance's trouble: what the log or the store cannot give, whoever asks for it."""


def decide_or_tell(
    input_: Input, instance_id: str, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """The decision on an input; on an error that nobody foresaw the one that tells it.

    That quarantines the instance, or rejects the command.

    Raises:
        StoreError: if the store cannot be read.
        UnknownDefinitionError: if nobody published the graph of the run.
    """
    wrong: Exception
    try:
        decision = decide(input_, rows, context, room)
        if decision.size <= context.batch_bytes:
            return decision
        # It fits no batch at all, and never will.
        wrong = BatchTooLargeError(
            f"expected a decision of at most {context.batch_bytes} bytes, but "
            f"{decision.size} bytes"
        )
    except PARTITION_ERRORS:
        raise
    except EventTooLargeError as error:
        wrong = error
    except Exception as error:
        logger.exception("instance.decision_failed", instance_id=instance_id)
        wrong = error
    if isinstance(wrong, BatchTooLargeError | EventTooLargeError):
        logger.warning(
            "instance.decision_refused", instance_id=instance_id, reason=str(wrong)
        )
    return on_error(input_, wrong, rows, context, room)

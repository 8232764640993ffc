"""I20: an instance in quarantine stands still until it is released, or ended.

Theory of operation. What is owed stays owed in quarantine, so none of the rules on what
comes next holds there; instead only a few kinds may come at all. A release gives what
stood: attempts that were awaited are due again, with all of their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.run_deadline import check_run_deadline
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model import events as kinds
from sayiir_es.core.model.permit_events import PermitReleased, PermitTaken
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitMessageSent,
    RunPermitTaken,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event

MAY_COME = frozenset(
    {
        kinds.CancelRequested,
        kinds.CommandAcknowledged,
        kinds.CommandRejected,
        kinds.InstanceReleased,
        kinds.OutcomeRejected,
        kinds.WorkflowCancelled,
        kinds.WorkflowStarted,
        kinds.WorkflowTerminated,
        PermitReleased,
        PermitTaken,
        RunPermitAsked,
        RunPermitMessageSent,
        RunPermitTaken,
    }
)
"""What may come of an instance in quarantine; a start only behind its termination."""


def check_stands_still(event: Event) -> None:
    """Nothing moves in quarantine."""
    if type(event.body) not in MAY_COME:
        raise BreachError("I20", "no move behind InstanceQuarantined", event.kind)


def check_quarantined(model: RunModel, event: Event) -> None:
    """A decision raised an error: it was no command's, which would be answered."""
    if event.cause.startswith("command:") and not model.copying:
        raise BreachError(
            "I20", "CommandRejected where a command raised an error", event.kind
        )
    model.quarantined = True


def check_released(model: RunModel, event: Event) -> None:
    """It goes on where it stood."""
    if not model.quarantined:
        raise BreachError("I20", "InstanceQuarantined before", event.kind)
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    assert isinstance(event.body, kinds.InstanceReleased)
    check_run_deadline(model, event, event.body.deadline_at)
    model.quarantined, model.run = False, event.run
    for open_node in model.open_nodes.values():
        if open_node.attempt:
            open_node.deadline_at, open_node.sequence = None, event.sequence
            open_node.permit = ""
